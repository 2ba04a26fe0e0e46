// SPDX-License-Identifier: BSD-2-Clause
/* Other ways to a child than posix_spawn(), and many of them at once. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawns.h"

/* ---- shells ---- */

static void read_all(const char *what, FILE *file)
{
	char line[128];

	printf("%s:\n", what);
	while (file && fgets(line, sizeof(line), file))
		printf("  %s", line);
	printf("  pclose: %x\n", file ? pclose(file) : -1);
	fflush(stdout);
}

static void system_say(const char *what, const char *command)
{
	const int status = system(command);

	printf("%s: %x\n", what, status);
	fflush(stdout);
}

static void pipes(int fd)
{
	FILE *first, *second;
	char command[128];

	snprintf(command, sizeof(command), "head -c 6 <&%d; exit 3", fd);
	if (server.sin_port && send(fd, "shell\n", 6, 0) != 6)
		fail("send");
	read_all("from a shell", popen(command, "r"));
	snprintf(command, sizeof(command), "cat >&%d", fd);
	first = popen(command, "we");
	printf("close-on-exec: %d\n", fcntl(fileno(first), F_GETFD));
	/* It would not end if the second one had the first one's input. */
	second = popen("cat; exit 5", "w");
	printf("close-on-exec: %d\n", fcntl(fileno(second), F_GETFD));
	fprintf(first, "pipe");
	printf("pclose: %x\n", pclose(first));
	fflush(stdout);
	fprintf(second, "the second one\n");
	printf("pclose: %x\n", pclose(second));
	fflush(stdout);
	first = popen("true", "rw");
	printf("no mode: %d %s\n", !first, strerrorname_np(errno));
}

void shells_case(void)
{
	FILE *before = popen("cat; exit 7", "w");
	struct sigaction action = { .sa_handler = SIG_IGN };
	char command[128], got[16] = "";
	int fd = connected();

	echoed(fd, "first");
	pipes(fd);
	fprintf(before, "the oldest one\n");
	printf("pclose: %x\n", pclose(before));
	fflush(stdout);
	if (server.sin_port && recv(fd, got, 4, MSG_WAITALL) == 4)
		printf("  parent: %s\n", got);
	printf("no child is left: %d\n", waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
	printf("a shell: %d\n", system(NULL));
	snprintf(command, sizeof(command), "echo shell >&%d; head -c 6 <&%d; exit 9", fd, fd);
	system_say("system", server.sin_port ? command : "exit 9");
	system_say("killed", "kill -9 $$");
	sigaction(SIGINT, &action, NULL);
	system_say("ignored", "kill -INT $$; echo alive");
	action.sa_handler = handle;
	sigaction(SIGINT, &action, NULL);
	system_say("not ignored", "kill -INT $$; echo alive");
	system_say("the parent ignores it", "kill -INT $PPID");
	printf("handled: %d\n", handled);
	raise(SIGINT);
	printf("handled: %d\n", handled);
	echoed(fd, "last");
}

/* ---- what only glibc 2.39 has: not to be compared with others ---- */

typedef int pidfd_function(int *, const char *, const posix_spawn_file_actions_t *,
			   const posix_spawnattr_t *, char *const[], char *const[]);

static void pidfd_say(const char *what, const char *name, const char *path)
{
	const char *const args[] = { "spawn", "talk", "1", "0", what, NULL };
	posix_spawn_file_actions_t actions;
	pidfd_function *call;
	int fd = connected(), child = -1, r;
	siginfo_t info = {};

	*(void **)&call = dlsym(RTLD_DEFAULT, name);
	if (!call)
		fail(name);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	r = call(&child, path, &actions, NULL, vector(args), environ);
	if (!r && !waitid(P_PIDFD, child, &info, WEXITED))
		printf("%s: %d, close-on-exec %d\n", what, info.si_status, fcntl(child, F_GETFD));
	else
		printf("%s: %s %d\n", what, strerrorname_np(r), child);
	fflush(stdout);
	echoed(fd, "goes on");
}

void pidfd_case(void)
{
	pidfd_say("pidfd_spawn", "pidfd_spawn", program);
	pidfd_say("pidfd_spawnp", "pidfd_spawnp", program);
	pidfd_say("none", "pidfd_spawnp", "none");
	signal(SIGCHLD, SIG_IGN);
	pidfd_say("reaped by the kernel", "pidfd_spawnp", "none");
	printf("no child is left: %d\n", waitpid(-1, NULL, 0) < 0 && errno == ECHILD);
}

/* ---- threads ---- */

#define N_THREADS 4
#define N_ROUNDS  8

static atomic_int rounds;

static void *spawn_often(void *data)
{
	const int fd = connected();
	const char *const args[] = { "sh", "-c", "head -c 4", NULL };
	posix_spawn_file_actions_t actions;
	int status, wrong = 0;
	char got[4];
	pid_t pid;

	fcntl(fd, F_SETFD, FD_CLOEXEC);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	posix_spawn_file_actions_adddup2(&actions, fd, 1);
	for (int i = 0; i < N_ROUNDS; i++, rounds++) {
		send(fd, "0123", 4, 0);
		wrong += posix_spawnp(&pid, "sh", &actions, NULL, vector(args), environ) ||
			 waitpid(pid, &status, 0) != pid || status ||
			 recv(fd, got, 4, MSG_WAITALL) != 4 || memcmp(got, "0123", 4);
	}
	posix_spawn_file_actions_destroy(&actions);
	close(fd);
	*(int *)data = wrong;
	return NULL;
}

/* Children that are not new programs, and live as long as their parent lets them. */
static void *fork_often(void *data)
{
	const int *until = data;
	char none;

	for (int i = 0; i < N_ROUNDS; i++) {
		if (!fork()) {
			close(until[1]);
			_exit(read(until[0], &none, 1) != 0);
		}
		/* Between those that the others start. */
		while (rounds < i * N_THREADS)
			sched_yield();
	}
	return NULL;
}

void threads_case(void)
{
	pthread_t threads[N_THREADS], forking;
	int wrong[N_THREADS], until[2], status;

	if (pipe2(until, O_CLOEXEC))
		fail("pipe2");
	pthread_create(&forking, NULL, fork_often, until);
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, spawn_often, &wrong[i]);
	for (int i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], NULL);
		printf("wrong: %d\n", wrong[i]);
	}
	pthread_join(forking, NULL);
	close(until[1]);
	for (int i = 0; i < N_ROUNDS; i++) {
		wait(&status);
		printf("ended: %x\n", status);
	}
}
