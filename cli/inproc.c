/* SPDX-License-Identifier: BSD-2-Clause */
#include "inproc.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/shared.h"

/* The engine attaches its guard when the first program asks for it. */
#define TRIES	 100
#define PAUSE_NS 10000000L

const char *inproc_library(void)
{
	const char *path = getenv("TCPCRYPT_INPROC_LIBRARY");

	return path ? path : INPROC_LIBRARY;
}

int inproc_engine(void)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int one = 1, error = -EAGAIN;

	if (fd < 0)
		return -errno;
	for (int i = 0; error == -EAGAIN && i < TRIES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		error = setsockopt(fd, IPPROTO_TCP, TCP_CRYPT_INPROC, &one, sizeof(one)) ? -errno
											 : 0;
	}
	close(fd);
	return error;
}
