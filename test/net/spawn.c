// SPDX-License-Identifier: BSD-2-Clause
/*
 * `spawn ADDRESS PORT CASE`: children of posix_spawn(), system() and popen() that have a connection to an
 * echo server, and what they and their parent say, line by line; natively and in-process it must be the
 * same. Without a server (PORT 0) there is no connection, but all the rest.
 * `spawn talk` and `spawn state` are such children.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawns.h"

struct sockaddr_in server = { .sin_family = AF_INET };
const char *program;
volatile sig_atomic_t handled;

void fail(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

int connected(void)
{
	int fd = server.sin_port ? socket(AF_INET, SOCK_STREAM, 0) : open("/dev/null", O_RDWR);

	if (fd < 0 || (server.sin_port && connect(fd, (struct sockaddr *)&server, sizeof(server))))
		fail("connect");
	return fd;
}

void echoed(int fd, const char *text)
{
	const ssize_t len = strlen(text);
	char got[64] = "";

	if (!server.sin_port)
		return;
	if (send(fd, text, len, 0) != len || recv(fd, got, len, MSG_WAITALL) != len)
		fail("echo");
	printf("  parent: %s\n", got);
	fflush(stdout);
}

void ended(const char *what, int r, pid_t pid)
{
	int status = 0;

	if (!r) {
		waitpid(pid, &status, 0);
		printf("%s: ended with %x\n", what, status);
	} else {
		/* Which nobody should ask. */
		printf("%s: %s, errno %s\n", what, strerrorname_np(r), strerrorname_np(errno));
		printf("  and no child: %s, pid %d\n",
		       waitpid(-1, NULL, 0) < 0 ? strerrorname_np(errno) : "there is", pid);
	}
	fflush(stdout);
}

void spawn(const char *what, const posix_spawn_file_actions_t *actions,
	   const posix_spawnattr_t *attributes, const char *const *args)
{
	const char *const environment[] = { "HERE=there", "PATH=/nowhere", NULL };
	pid_t pid = 0;
	int r;

	fflush(stdout);
	r = posix_spawn(&pid, args[0], actions, attributes, vector(args), vector(environment));
	ended(what, r, pid);
}

void spawn_state(const char *what, const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attributes)
{
	spawn(what, actions, attributes, (const char *[]){ program, "state", NULL });
}

static void spawn_talk(const char *what, const posix_spawn_file_actions_t *actions, int to,
		       int from)
{
	char to_text[12], from_text[12];

	snprintf(to_text, sizeof(to_text), "%d", to);
	snprintf(from_text, sizeof(from_text), "%d", from);
	spawn(what, actions, NULL,
	      (const char *[]){ program, "talk", to_text, from_text, what, NULL });
}

static void closing_on_exec(int fd, bool closes)
{
	fcntl(fd, F_SETFD, closes ? FD_CLOEXEC : 0);
}

/* ---- file actions ---- */

static void duplicates(int fd)
{
	posix_spawn_file_actions_t actions, moved;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	spawn_talk("standard input and output", &actions, 1, 0);
	echoed(fd, "goes on");
	moved = actions;
	memset(&actions, 0xff, sizeof(actions));
	spawn_talk("the same, moved", &moved, 1, 0);
	posix_spawn_file_actions_destroy(&moved);

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 20);
	posix_spawn_file_actions_adddup2(&actions, 20, 21);
	posix_spawn_file_actions_addclose(&actions, 20);
	posix_spawn_file_actions_addclose(&actions, 20);
	posix_spawn_file_actions_addclosefrom_np(&actions, 22);
	spawn_talk("a duplicate's", &actions, 21, 21);
	posix_spawn_file_actions_adddup2(&actions, 20, 0);
	spawn_talk("one that was closed", &actions, 0, 0);
	posix_spawn_file_actions_destroy(&actions);
	echoed(fd, "still goes on");

	/* Where the library has its own. */
	posix_spawn_file_actions_init(&actions);
	for (int to = 500; to < 520; to++)
		posix_spawn_file_actions_adddup2(&actions, fd, to);
	spawn_talk("high ones", &actions, 500, 519);
	spawn_talk("high ones", &actions, 505, 506);
	posix_spawn_file_actions_destroy(&actions);
	echoed(fd, "whatever comes");
}

static void inherits(int fd)
{
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, fd);
	spawn_talk("inherited", NULL, fd, fd);
	closing_on_exec(fd, true);
	spawn_talk("not inherited", NULL, fd, fd);
	spawn_talk("inherited by an action", &actions, fd, fd);
	posix_spawn_file_actions_addclose(&actions, fd);
	spawn_talk("closed", &actions, fd, fd);
	closing_on_exec(fd, false);
	spawn_talk("closed, though inherited", &actions, fd, fd);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclosefrom_np(&actions, SAY + 1);
	spawn_state("closed with the rest", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	echoed(fd, "goes on");
}

static void opens(int fd)
{
	char path[] = "/tmp/spawnXXXXXX", file[64], got[16] = "";
	posix_spawn_file_actions_t actions;
	struct stat st = {};
	int directory = -1;

	if (mkdtemp(path))
		directory = open(path, O_RDONLY | O_CLOEXEC);
	umask(0);
	snprintf(file, sizeof(file), "%s/one", path);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_addopen(&actions, 30, file, O_CREAT | O_EXCL | O_WRONLY, 0604);
	spawn_talk("a file", &actions, 30, 30);
	printf("mode: %o\n", stat(file, &st) ? 0 : st.st_mode);
	spawn_talk("a file that is there", &actions, 30, 30);
	posix_spawn_file_actions_destroy(&actions);

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, fd, file, O_RDONLY, 0);
	spawn_talk("in the connection's place", &actions, SAY, fd);
	posix_spawn_file_actions_destroy(&actions);

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_addfchdir_np(&actions, directory);
	posix_spawn_file_actions_addopen(&actions, 3, "one", O_RDONLY, 0);
	posix_spawn_file_actions_addchdir_np(&actions, "/");
	spawn_state("directories", &actions, NULL);
	posix_spawn_file_actions_addopen(&actions, 4, "one", O_RDONLY, 0);
	spawn_state("a file of another directory", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	printf("here: %d\n", getcwd(got, sizeof(got)) && !strcmp(got, "/"));
	unlink(file);
	rmdir(path);
	close(directory);
	echoed(fd, "goes on");
}

static void actions_case(void)
{
	int fd = connected(), other = connected();

	echoed(fd, "first");
	duplicates(fd);
	inherits(fd);
	opens(fd);
	close(fd);
	echoed(other, "the other one");
	/* Its first bytes are a child's. */
	fd = connected();
	spawn_talk("not used before", NULL, fd, fd);
	echoed(fd, "used now");
}

/* ---- attributes ---- */

void handle(int number)
{
	handled++;
}

static void flags_set(posix_spawnattr_t *attributes, short flags)
{
	posix_spawnattr_setflags(attributes, flags);
}

/* Programs that the kernel gives the rights of a user who has not called them load no library. */
static void ids(posix_spawnattr_t *attributes, int fd)
{
	if (setegid(65534) || seteuid(65534))
		fail("seteuid");
	closing_on_exec(fd, true);
	flags_set(attributes, 0);
	spawn_state("other users", NULL, attributes);
	closing_on_exec(fd, false);
	flags_set(attributes, POSIX_SPAWN_RESETIDS);
	spawn_state("RESETIDS", NULL, attributes);
	if (seteuid(0) || setegid(0))
		fail("seteuid");
}

static void groups(posix_spawnattr_t *attributes)
{
	posix_spawnattr_setpgroup(attributes, 0);
	flags_set(attributes, POSIX_SPAWN_SETPGROUP);
	spawn_state("SETPGROUP", NULL, attributes);
	posix_spawnattr_setpgroup(attributes, getpgrp());
	spawn_state("SETPGROUP, its parent's", NULL, attributes);
	posix_spawnattr_setpgroup(attributes, 1);
	spawn_state("SETPGROUP, another session's", NULL, attributes);
	flags_set(attributes, POSIX_SPAWN_SETSID);
	spawn_state("SETSID", NULL, attributes);
	posix_spawnattr_setpgroup(attributes, 0);
	flags_set(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETPGROUP);
	spawn_state("SETSID and SETPGROUP", NULL, attributes);
}

static void schedules(posix_spawnattr_t *attributes)
{
	struct sched_param parameters = {};

	posix_spawnattr_setschedpolicy(attributes, SCHED_BATCH);
	posix_spawnattr_setschedparam(attributes, &parameters);
	flags_set(attributes, POSIX_SPAWN_SETSCHEDULER);
	spawn_state("SETSCHEDULER", NULL, attributes);
	flags_set(attributes, POSIX_SPAWN_SETSCHEDPARAM);
	spawn_state("SETSCHEDPARAM", NULL, attributes);
	parameters.sched_priority = 5;
	posix_spawnattr_setschedparam(attributes, &parameters);
	spawn_state("SETSCHEDPARAM, another policy's", NULL, attributes);
	flags_set(attributes, POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER);
	spawn_state("both", NULL, attributes);
}

static void signals(posix_spawnattr_t *attributes)
{
	struct sigaction action = { .sa_handler = handle };
	sigset_t set, before;

	sigaction(SIGUSR1, &action, NULL);
	sigaction(SIGCHLD, &action, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGUSR2, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_SETMASK, &set, &before);
	spawn_state("signals", NULL, NULL);
	printf("SIGCHLD: %d\n", handled);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	posix_spawnattr_setsigdefault(attributes, &set);
	sigaddset(&set, SIGINT);
	posix_spawnattr_setsigmask(attributes, &set);
	flags_set(attributes, POSIX_SPAWN_SETSIGDEF);
	spawn_state("SETSIGDEF", NULL, attributes);
	flags_set(attributes, POSIX_SPAWN_SETSIGMASK);
	spawn_state("SETSIGMASK", NULL, attributes);
	flags_set(attributes,
		  POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_USEVFORK);
	spawn_state("both", NULL, attributes);
	printf("SIGCHLD: %d\n", handled);
	spawn("of none", NULL, attributes, (const char *[]){ "/none", NULL });
	printf("SIGCHLD: %d\n", handled);
	sigprocmask(SIG_SETMASK, &before, &set);
	printf("blocked: %d %d\n", sigismember(&set, SIGTERM), sigismember(&set, SIGCHLD));
	action.sa_handler = SIG_DFL;
	sigaction(SIGCHLD, &action, NULL);
}

static void attributes_case(void)
{
	posix_spawnattr_t attributes;
	int fd = connected();

	echoed(fd, "first");
	posix_spawnattr_init(&attributes);
	spawn_state("none", NULL, &attributes);
	groups(&attributes);
	schedules(&attributes);
	signals(&attributes);
	ids(&attributes, fd);
	posix_spawnattr_destroy(&attributes);
	echoed(fd, "last");
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{ "actions", actions_case }, { "attributes", attributes_case },
		{ "errors", errors_case },   { "shells", shells_case },
		{ "pidfd", pidfd_case },     { "threads", threads_case },
	};

	program = realpath("/proc/self/exe", NULL);
	if (argc == 5 && !strcmp(argv[1], "talk"))
		return talk(argv + 2);
	if (argc == 2 && !strcmp(argv[1], "state"))
		return state();
	if (argc != 4 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
		return EXIT_FAILURE;
	server.sin_port = htons(atoi(argv[2]));
	if (dup2(STDOUT_FILENO, SAY) < 0 || chdir("/"))
		return EXIT_FAILURE;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, argv[3]))
			continue;
		cases[i].run();
		puts("done");
		return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}
