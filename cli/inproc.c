/* SPDX-License-Identifier: BSD-2-Clause */
#include "inproc.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/shared.h"

/* The engine attaches its guard when the first program asks for it. */
#define TRIES	 100
#define PAUSE_NS 10000000L

/* This program's own header: the linker's name for it. */
extern const Elf64_Ehdr __ehdr_start;

const char *inproc_library(void)
{
	const char *path = getenv("TCPCRYPT_INPROC_LIBRARY");

	return path ? path : INPROC_LIBRARY;
}

/* For the processor that this program is made for? */
static bool is_library(int fd)
{
	Elf64_Ehdr head;

	return read(fd, &head, sizeof(head)) == sizeof(head) &&
	       !memcmp(head.e_ident, __ehdr_start.e_ident, EI_VERSION + 1) &&
	       head.e_machine == __ehdr_start.e_machine && head.e_type == ET_DYN;
}

/* Not from a file system that is mounted so that nothing on it is executed. */
static bool is_executable(int fd)
{
	void *at = mmap(NULL, 1, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);

	if (at != MAP_FAILED)
		munmap(at, 1);
	return at != MAP_FAILED;
}

const char *inproc_library_unfit(void)
{
	const char *path = inproc_library(), *why = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return strerror(errno);
	/* It is looked for elsewhere, or from another directory. */
	if (*path != '/')
		why = "it needs its whole path";
	/* They separate libraries there, and begin $ORIGIN and its like. */
	else if (strpbrk(path, " :$"))
		why = "LD_PRELOAD cannot name a path with a space, a colon or a dollar sign in it";
	else if (!is_library(fd))
		why = "it is no shared library for this machine";
	else if (!is_executable(fd))
		why = "nothing may be executed from there";
	close(fd);
	return why;
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
