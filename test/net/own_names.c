// SPDX-License-Identifier: BSD-2-Clause
/*
 * `own_names ADDRESS PORT TEXT`: a program with calls of its own in front of the C library's, as Erlang's
 * emulator has sigaction(): under both of its names, for the C library's own use, and built upon what
 * comes next under the other one. Prints what the server answered, and whether its handler was called.
 */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define OWN __attribute__((visibility("default")))

static volatile sig_atomic_t handled;

OWN int __sigaction(int number, const struct sigaction *restrict action,
		    struct sigaction *restrict old);
OWN int __close(int fd);

OWN int __sigaction(int number, const struct sigaction *restrict action,
		    struct sigaction *restrict old)
{
	int (*following)(int, const struct sigaction *, struct sigaction *);

	*(void **)&following = dlsym(RTLD_NEXT, "__sigaction");
	return following(number, action, old);
}

OWN int sigaction(int number, const struct sigaction *restrict action,
		  struct sigaction *restrict old)
{
	return __sigaction(number, action, old);
}

OWN int __close(int fd)
{
	int (*following)(int);

	*(void **)&following = dlsym(RTLD_NEXT, "__close");
	return following(fd);
}

OWN int close(int fd)
{
	return __close(fd);
}

static void handle(int number)
{
	handled = number;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = handle };
	struct sockaddr_in to = { .sin_family = AF_INET };
	int (*init)(void);
	char answer[256];
	ssize_t n;
	int fd;

	if (argc != 4 || inet_pton(AF_INET, argv[1], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons(atoi(argv[2]));
	if (sigaction(SIGUSR1, &action, NULL) || raise(SIGUSR1))
		return 2;
	fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) ||
	    write(fd, argv[3], strlen(argv[3])) < 0)
		return 2;
	n = read(fd, answer, sizeof(answer));
	printf("%.*s%s\n", n > 0 ? (int)n : 0, answer, handled ? "handled" : "");
	*(void **)&init = dlsym(RTLD_DEFAULT, "sodium_init");
	for (int i = 0; i < 2; i++)
		printf("%d\n", init ? init() : i);
	return close(fd) ? 2 : 0;
}
