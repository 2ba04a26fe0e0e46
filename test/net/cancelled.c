// SPDX-License-Identifier: BSD-2-Clause
/*
 * `cancelled ADDRESS PORT`: a program of which a thread is cancelled as it writes to an echo server's
 * connection, which another thread then goes on with. Prints what became of the thread, and what
 * was read in all.
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int fd;
static atomic_bool ready, cancelled;

/* Nothing but write() is where it could be cancelled. */
static void *run(void *data)
{
	ready = true;
	while (!cancelled)
		;
	return write(fd, "thread", 6) == 6 ? &fd : NULL;
}

static int talk(const char *text, size_t len)
{
	char answer[16];
	ssize_t n;

	if (write(fd, text, len) != (ssize_t)len)
		return -1;
	n = read(fd, answer, sizeof(answer) - 1);
	if (n < 0)
		return -1;
	answer[n] = '\0';
	printf(" %s", answer);
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	pthread_t thread;
	void *result;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return EXIT_FAILURE;
	to.sin_port = htons(atoi(argv[2]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) || talk("before", 6))
		return EXIT_FAILURE;
	if (pthread_create(&thread, NULL, run, NULL))
		return EXIT_FAILURE;
	while (!ready)
		;
	pthread_cancel(thread);
	cancelled = true;
	pthread_join(thread, &result);
	printf(" %s", result == PTHREAD_CANCELED ? "cancelled" : "went on");
	if (talk("after", 5))
		perror(" failed");
	printf("\n");
	return EXIT_SUCCESS;
}
