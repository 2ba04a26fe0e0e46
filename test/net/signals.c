// SPDX-License-Identifier: BSD-2-Clause
/*
 * `signals writes|jumps|ends ADDRESS PORT`: a program whose handlers of signals use its connection,
 * leave its calls, or end them. Prints what came of it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMES 20000

static int fd;
static volatile sig_atomic_t written, failed, jumps;
static sigjmp_buf back;

static void begin(long us, int flags, void (*handler)(int))
{
	const struct itimerval every = { { 0, us }, { 0, us } };
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags }, is;

	if (sigaction(SIGALRM, &action, NULL) || sigaction(SIGALRM, NULL, &is) ||
	    is.sa_handler != handler || is.sa_flags & SA_SIGINFO)
		abort();
	setitimer(ITIMER_REAL, &every, NULL);
}

static void end(void)
{
	const struct itimerval never = {};

	setitimer(ITIMER_REAL, &never, NULL);
}

static void writes_one(int number)
{
	if (number == SIGALRM && write(fd, "h", 1) == 1)
		written++;
	else
		failed = errno ? errno : -1;
}

/* Each byte that is said to be written arrives, whoever writes it. */
static void writes(void)
{
	static const char text[] = "abcdefg";
	int left = TIMES * 7;
	ssize_t n;

	begin(50, SA_RESTART, writes_one);
	while (left) {
		const int at = (TIMES * 7 - left) % 7;

		n = write(fd, text + at, 7 - at);
		if (n < 0)
			break;
		left -= n;
	}
	end();
	printf("%s%d %d\n", written ? "" : "no handler ", left, (int)failed);
	fprintf(stderr, "%d\n", (int)written);
}

static void jumps_out(int number)
{
	jumps++;
	siglongjmp(back, number);
}

/* Nobody has the connection's lock afterwards. */
static void leaves(void)
{
	static char byte;
	static volatile int i;

	begin(70, 0, jumps_out);
	sigsetjmp(back, 1);
	for (; i < TIMES; i++)
		if (recv(fd, &byte, 1, MSG_DONTWAIT) < 0 && errno != EAGAIN)
			break;
	end();
	printf("%s", jumps ? "" : "no handler ");
	if (i == TIMES && write(fd, "hello", 5) == 5 && recv(fd, &byte, 1, 0) == 1)
		printf("%c\n", byte);
}

static void does_nothing(int number)
{
	jumps += number;
}

/* A call that waits ends with EINTR. */
static void ends(void)
{
	char byte;

	begin(200000, 0, does_nothing);
	printf("%zd", recv(fd, &byte, 1, 0));
	printf(" %s\n", errno == EINTR ? "EINTR" : "?");
	end();
}

int main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };

	if (argc != 4 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
		return EXIT_FAILURE;
	to.sin_port = htons(atoi(argv[3]));
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return EXIT_FAILURE;
	if (!strcmp(argv[1], "writes"))
		writes();
	else if (!strcmp(argv[1], "jumps"))
		leaves();
	else
		ends();
	close(fd);
	return EXIT_SUCCESS;
}
