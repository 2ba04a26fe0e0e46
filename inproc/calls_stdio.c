// SPDX-License-Identifier: BSD-2-Clause
/* Streams of the C library on connections: it would read and write past us. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/next.h"

static int fd_of(void *cookie)
{
	return (int)(intptr_t)cookie;
}

static ssize_t cookie_read(void *cookie, char *to, size_t len)
{
	return read(fd_of(cookie), to, len);
}

static ssize_t cookie_write(void *cookie, const char *from, size_t len)
{
	return write(fd_of(cookie), from, len);
}

static int cookie_close(void *cookie)
{
	return close(fd_of(cookie));
}

CALL FILE *fdopen(int fd, const char *mode)
{
	static const cookie_io_functions_t functions = { .read = cookie_read,
							 .write = cookie_write,
							 .close = cookie_close };

	/* fileno() has no answer for such a stream. */
	if (table_get(fd))
		return fopencookie((void *)(intptr_t)fd, mode, functions);
	return next()->fdopen(fd, mode);
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
