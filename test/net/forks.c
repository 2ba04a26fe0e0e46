// SPDX-License-Identifier: BSD-2-Clause
/*
 * `forks ADDRESS PORT THREADS CONNECTIONS SEED`: each thread makes so many connections to an echo server, one
 * after the other, and on each says something a few times. Before each time the connection becomes
 * another descriptor, by dup(), a message or over one that is there, or is shared with a child that says
 * something first, or is killed. Meanwhile one more thread forks for reasons of its own. Each byte of the
 * echo is looked at, and the end; what was wrong is printed, and how much that was.
 */
#include "passed.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAYINGS	    6
#define SAYING_MAX  5000
#define THREADS_MAX 16
#define LIMIT_S	    200 /* who takes longer hangs */

extern char **environ;

static struct sockaddr_in server = { .sin_family = AF_INET };
static unsigned int connections;
static uint32_t seed;
static atomic_uint wrong;

struct worker {
	pthread_t thread;
	uint32_t random;
	unsigned int number, connection;
	const char *last; /* what became of the connection last */
};

static uint32_t random_next(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

static uint32_t random_below(uint32_t *state, uint32_t end)
{
	return random_next(state) % end;
}

static void random_begin(uint32_t *state, uint32_t number)
{
	*state = seed * 2654435761u + number * 40503u + 1;
	for (int i = 0; i < 8; i++)
		random_next(state);
}

static bool complain(const struct worker *w, const char *what)
{
	printf("thread %u, connection %u, after %s: %s: %s\n", w->number, w->connection, w->last,
	       what, strerror(errno));
	return false;
}

/* ---- what is said, and its echo ---- */

/* The kernel's queues take all of it. */
static bool say(struct worker *w, int fd)
{
	uint8_t said[SAYING_MAX], echo[SAYING_MAX];
	const size_t len = 1 + random_below(&w->random, SAYING_MAX);
	ssize_t n;

	for (size_t i = 0; i < len; i++)
		said[i] = random_next(&w->random);
	errno = 0;
	n = send(fd, said, len, MSG_NOSIGNAL);
	if (n != (ssize_t)len)
		return complain(w, "send");
	for (size_t got = 0; got < len; got += n) {
		errno = 0;
		n = recv(fd, echo + got, len - got, 0);
		if (n <= 0)
			return complain(w, n ? "recv" : "recv: an end");
	}
	return !memcmp(said, echo, len) || complain(w, "other bytes");
}

static bool ends(struct worker *w, int fd)
{
	char byte;

	errno = 0;
	if (shutdown(fd, SHUT_WR))
		return complain(w, "shutdown");
	return !recv(fd, &byte, 1, 0) || complain(w, "no end");
}

/* ---- what becomes of it ---- */

static int copied(struct worker *w, int fd)
{
	const int copy = dup(fd);

	w->last = "dup";
	close(fd);
	return copy;
}

/* Over another descriptor, of a file or of a connection that is given up by that. */
static int put_over(struct worker *w, int fd)
{
	int other = open("/dev/null", O_RDONLY);

	w->last = "dup2";
	if (dup2(fd, other) < 0)
		return -1;
	close(fd);
	return other;
}

static int passed_on(struct worker *w, int fd)
{
	const int copy = passed(fd, 0);

	w->last = "passing";
	close(fd);
	return copy;
}

static bool waited_for(pid_t pid, int *status)
{
	pid_t r;

	do {
		r = waitpid(pid, status, 0);
	} while (r < 0 && errno == EINTR);
	return r == pid;
}

/* The child's turn, then the parent's. */
static int shared(struct worker *w, int fd)
{
	int status = 0;
	pid_t pid;

	w->last = "a child's turn";
	pid = fork();
	if (!pid)
		_exit(say(w, fd) ? 0 : 1);
	if (pid < 0 || !waited_for(pid, &status) || status)
		return -1;
	return fd;
}

static void pause_us(long us)
{
	const struct timespec pause = { .tv_nsec = us * 1000 };

	nanosleep(&pause, NULL);
}

static bool killed_child(uint32_t *random)
{
	const pid_t parent = getpid(), pid = fork();
	int status;

	if (!pid) {
		/* Nor does it stay when the program ends meanwhile. */
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent)
			pause();
		_exit(0);
	}
	if (pid < 0)
		return false;
	pause_us(random_below(random, 2000));
	kill(pid, SIGKILL);
	return waited_for(pid, &status);
}

static int shared_with_killed(struct worker *w, int fd)
{
	w->last = "a killed child";
	return killed_child(&w->random) ? fd : -1;
}

static int left_alone(struct worker *w, int fd)
{
	w->last = "nothing";
	return fd;
}

static int (*const becomes[])(struct worker *w, int fd) = {
	copied, put_over, passed_on, shared, shared_with_killed, left_alone,
};

/* ---- threads ---- */

static bool is_good(struct worker *w)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	bool good = true;

	w->last = "connect";
	errno = 0;
	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server)))
		return complain(w, "connect");
	for (int i = 0; good && i < SAYINGS; i++) {
		const size_t n = sizeof(becomes) / sizeof(becomes[0]);

		errno = 0;
		fd = becomes[random_below(&w->random, n)](w, fd);
		good = fd < 0 ? complain(w, "no descriptor") : say(w, fd);
	}
	good = good && ends(w, fd);
	close(fd);
	return good;
}

static void *works(void *worker)
{
	struct worker *w = worker;

	for (w->connection = 0; w->connection < connections; w->connection++) {
		random_begin(&w->random, w->number + w->connection * 100);
		wrong += !is_good(w);
	}
	return NULL;
}

/* A child has all that others are about. */
static bool child_that_closes(void)
{
	const pid_t pid = fork();
	int status;

	if (!pid) {
		for (int fd = 3; fd < 100; fd++)
			close(fd);
		_exit(0);
	}
	return pid > 0 && waited_for(pid, &status) && !status;
}

static bool other_program(void)
{
	char name[] = "true", *arguments[] = { name, NULL };
	int status;
	pid_t pid;

	return !posix_spawnp(&pid, name, NULL, NULL, arguments, environ) &&
	       waited_for(pid, &status) && !status;
}

static bool child_that_ends(void)
{
	const pid_t pid = fork();
	int status;

	if (!pid)
		_exit(0);
	return pid > 0 && waited_for(pid, &status) && !status;
}

static void *forks(void *none)
{
	uint32_t random;
	bool good = true;

	random_begin(&random, THREADS_MAX);
	while (good) {
		switch (random_below(&random, 4)) {
		case 0:
			good = child_that_closes();
			break;
		case 1:
			good = other_program();
			break;
		case 2:
			good = child_that_ends();
			break;
		default:
			good = killed_child(&random);
		}
	}
	printf("a child: %s\n", strerror(errno));
	return NULL;
}

int main(int argc, char **argv)
{
	struct worker workers[THREADS_MAX] = {};
	unsigned int n_workers = argc == 6 ? strtoul(argv[3], NULL, 10) : 0;
	pthread_t forker;

	if (!n_workers || n_workers > THREADS_MAX ||
	    inet_pton(AF_INET, argv[1], &server.sin_addr) != 1) {
		fprintf(stderr, "usage: %s ADDRESS PORT THREADS CONNECTIONS SEED\n", argv[0]);
		return EXIT_FAILURE;
	}
	server.sin_port = htons(strtoul(argv[2], NULL, 10));
	connections = strtoul(argv[4], NULL, 10);
	seed = strtoul(argv[5], NULL, 10);
	alarm(LIMIT_S);
	setvbuf(stdout, NULL, _IOLBF, 0);
	pthread_create(&forker, NULL, forks, NULL);
	for (unsigned int i = 0; i < n_workers; i++) {
		workers[i].number = i;
		pthread_create(&workers[i].thread, NULL, works, &workers[i]);
	}
	for (unsigned int i = 0; i < n_workers; i++)
		pthread_join(workers[i].thread, NULL);
	printf("%u connections, %u wrong\n", n_workers * connections, wrong);
	/* The forker is in the middle of it. */
	return EXIT_SUCCESS;
}
