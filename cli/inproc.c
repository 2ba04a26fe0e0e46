/* SPDX-License-Identifier: BSD-2-Clause */
#include "inproc.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
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

/* In front of what is there already. */
bool inproc_preload(const char *run_dir)
{
	const char *before = getenv("LD_PRELOAD");
	char value[8192];

	if ((size_t)snprintf(value, sizeof(value), "%s%s%s", inproc_library(),
			     before && *before ? ":" : "", before ? before : "") >= sizeof(value))
		return false;
	return !setenv("LD_PRELOAD", value, 1) && !setenv("TCPCRYPT_RUN_DIR", run_dir, 1);
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
