// SPDX-License-Identifier: BSD-2-Clause
/* Streams of the C library on connections: it would read and write past us. */
#include <netinet/in.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/next.h"
#include "inproc/settings.h"

/* Entries stay, and are used again, so that they can be read without a lock. */
struct stream {
	struct stream *next;
	atomic_bool taken;
	int fd;
	pid_t pid; /* of the process at the other end, which pclose() waits for; 0: none */
	FILE *_Atomic file;
};

static struct stream *_Atomic streams;

static const struct stream *stream_of(const FILE *file)
{
	const struct stream *s = atomic_load(&streams);

	while (s && s->file != file)
		s = s->next;
	return s;
}

/* NULL: no memory. */
static struct stream *stream_take(int fd)
{
	struct stream *s;

	for (s = atomic_load(&streams); s; s = s->next)
		if (!atomic_exchange(&s->taken, true))
			break;
	if (!s) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		s->taken = true;
		s->next = atomic_load(&streams);
		while (!atomic_compare_exchange_weak(&streams, &s->next, s))
			;
	}
	s->fd = fd;
	s->pid = 0;
	return s;
}

static void stream_put(struct stream *s)
{
	s->file = NULL;
	s->taken = false;
}

static ssize_t cookie_read(void *cookie, char *to, size_t len)
{
	const struct stream *s = cookie;

	return read(s->fd, to, len);
}

static ssize_t cookie_write(void *cookie, const char *from, size_t len)
{
	const struct stream *s = cookie;
	ssize_t n = write(s->fd, from, len);

	/* What fopencookie() wants to hear of errors. */
	return n < 0 ? 0 : n;
}

static int cookie_seek(void *cookie, off64_t *position, int whence)
{
	errno = ESPIPE;
	return -1;
}

static int cookie_close(void *cookie)
{
	struct stream *s = cookie;
	const int fd = s->fd, pid = s->pid;
	int r;

	stream_put(s);
	r = close(fd);
	return pid ? calls_shell_wait(pid) : r;
}

static FILE *stream_open(int fd, const char *mode)
{
	static const cookie_io_functions_t functions = { .read = cookie_read,
							 .write = cookie_write,
							 .seek = cookie_seek,
							 .close = cookie_close };
	struct stream *s = stream_take(fd);

	if (!s)
		return NULL;
	s->file = fopencookie(s, mode, functions);
	if (!s->file)
		stream_put(s);
	return s->file;
}

/* The C library's pclose() is fclose(), which returns what the stream's close function does. */
FILE *calls_stream_on(int fd, const char *mode, pid_t pid)
{
	FILE *file = stream_open(fd, mode);

	for (struct stream *s = atomic_load(&streams); file && s; s = s->next)
		if (s->file == file)
			s->pid = pid;
	return file;
}

/* Is fd a socket that may become a connection of ours? A file may have the number of one by now. */
static bool may_become(int fd)
{
	const int saved = errno;
	socklen_t len = sizeof(int);
	int protocol = 0;

	if (!table_is_sole(fd) || !settings_on())
		return false;
	next()->getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len);
	errno = saved;
	return protocol == IPPROTO_TCP;
}

CALL FILE *fdopen(int fd, const char *mode)
{
	return table_get(fd) || may_become(fd) ? stream_open(fd, mode) : next()->fdopen(fd, mode);
}

/* The C library has no answer for such streams. */
CALL int fileno(FILE *file)
{
	const struct stream *s = stream_of(file);

	return s ? s->fd : next()->fileno(file);
}

CALL int fileno_unlocked(FILE *file)
{
	return fileno(file);
}

/* The C library would look for a descriptor in the stream. It reads and writes whatever is there. */
CALL FILE *freopen(const char *restrict path, const char *restrict mode, FILE *restrict file)
{
	const struct stream *s = stream_of(file);
	FILE *opened;
	int r;

	if (!s)
		return next()->freopen(path, mode, file);
	if (!path)
		return file;
	fflush(file);
	clearerr(file);
	opened = fopen(path, mode);
	if (!opened) {
		fclose(file);
		return NULL;
	}
	if (fileno(opened) == s->fd)
		return opened;
	r = dup2(fileno(opened), s->fd);
	fclose(opened);
	return r < 0 ? NULL : file;
}

CALL FILE *freopen64(const char *restrict path, const char *restrict mode, FILE *restrict file)
{
	return freopen(path, mode, file);
}

/* As it was: what waits in it is written to the connection, too, when the other's would have been. */
static void stream_like(FILE *file, FILE *before)
{
	if (__fbufsize(before) == 1 || before == stderr)
		setvbuf(file, NULL, _IONBF, 0);
	else if (__flbf(before))
		setvbuf(file, NULL, _IOLBF, BUFSIZ);
	if (!__fpending(before))
		return;
	fwrite(before->_IO_write_base, 1, __fpending(before), file);
	__fpurge(before);
}

/* The program's stream is the one that the variable names; not while there is something to be read in it. */
static void stream_replace(FILE **file, int fd, const char *mode)
{
	FILE *before = *file, *opened;

	if (!table_get(fd) || !before || stream_of(before) ||
	    before->_IO_read_ptr < before->_IO_read_end)
		return;
	opened = stream_open(fd, mode);
	if (!opened)
		return;
	stream_like(opened, before);
	*file = opened;
}

void calls_streams(void)
{
	stream_replace(&stdin, STDIN_FILENO, "r");
	stream_replace(&stdout, STDOUT_FILENO, "w");
	stream_replace(&stderr, STDERR_FILENO, "w");
}

void calls_streams_flush(void)
{
	for (struct stream *s = atomic_load(&streams); s; s = s->next) {
		FILE *file = s->file;

		if (file)
			fflush(file);
	}
}

__attribute__((format(printf, 2, 0))) static int print(int fd, const char *format, va_list ap)
{
	char *text;
	int len = vasprintf(&text, format, ap), done = 0;
	ssize_t n;

	if (len < 0)
		return -1;
	while (done < len && (n = write(fd, text + done, len - done)) >= 0)
		done += n;
	free(text);
	return done == len ? len : -1;
}

CALL int vdprintf(int fd, const char *restrict format, va_list ap)
{
	return print(fd, format, ap);
}

CALL int dprintf(int fd, const char *restrict format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = print(fd, format, ap);
	va_end(ap);
	return r;
}

int __vdprintf_chk(int fd, int flag, const char *restrict format, va_list ap)
	__attribute__((format(printf, 3, 0)));
int __dprintf_chk(int fd, int flag, const char *restrict format, ...)
	__attribute__((format(printf, 3, 4)));

CALL int __vdprintf_chk(int fd, int flag, const char *restrict format, va_list ap)
{
	return print(fd, format, ap);
}

CALL int __dprintf_chk(int fd, int flag, const char *restrict format, ...)
{
	va_list ap;
	int r;

	va_start(ap, format);
	r = print(fd, format, ap);
	va_end(ap);
	return r;
}
