/* SPDX-License-Identifier: BSD-2-Clause */
/* What the interposed calls (calls_*.c) have in common. */
#ifndef INPROC_CALLS_H
#define INPROC_CALLS_H

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

#include "inproc/stream.h"
#include "inproc/table.h"

/* In front of every definition that the program and its libraries shall find before others. */
#define CALL __attribute__((visibility("default")))

/* As calls return it: -1 and errno instead of a negative value. */
static inline ssize_t calls_result(ssize_t r)
{
	if (r >= 0)
		return r;
	errno = -r;
	return -1;
}

/*
 * Reads from, or writes to, a descriptor that table_get() knows, with the flags of recv() and
 * send(). They return as the calls do; with *ret_native set nothing was done, and the next
 * definition is to be called, for the socket has turned out plain.
 */
ssize_t calls_read(int fd, struct bytes *to, int flags, bool *ret_native);
ssize_t calls_write(int fd, struct bytes *from, int flags, bool *ret_native);

/* A call that has read something was told of an error by its next step: the next call is to say it. */
void calls_read_later(int fd, int error);

/* The thread may be about to wait: what it wrote and has not been sent is. */
void calls_send_held(void);

/* A new descriptor that the kernel gave the program: whatever had the number before is gone. */
void calls_new(int fd);

/*
 * The environment for a new program, in memory that goes with this one: malloc() is not for a child of a
 * process with threads. image: of what is left to it, or NULL. *ret_size: of what is to be unmapped if
 * there is no new program, or when it has been started.
 */
char *const *calls_environment(char *const envp[], char *image, size_t *ret_size);

/* The C library's streams of the standard descriptors are to be connections' where those are. */
void calls_streams(void);
/* A stream on fd, whose pclose() waits for a process; NULL: no memory. */
FILE *calls_stream_on(int fd, const char *mode, pid_t pid);
/* Waits for a child, whatever signals come: its status, or -1 and errno. */
int calls_shell_wait(pid_t pid);
/* What was written to streams of connections and is still in them: before they end. */
void calls_streams_flush(void);

/* The daemon has been started again, perhaps: its engine learns of the process's listeners, or of this one, if it
 * is such. */
void calls_listeners_mend(void);
void calls_listener_mend(int listener);

#endif
