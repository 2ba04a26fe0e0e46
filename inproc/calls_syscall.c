// SPDX-License-Identifier: BSD-2-Clause
/*
 * System calls that a program makes by number, through the C library's syscall(): libuv, for one,
 * closes its sockets so.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/calls_confine.h"
#include "inproc/next.h"
#include "inproc/settings.h"

#define ARGUMENTS_MAX 6

/* Those that matter for every socket: what begins as a socket's life must be seen. */
static bool begins(long number, const long *a, long *ret)
{
	switch (number) {
	case SYS_socket:
		*ret = socket(a[0], a[1], a[2]);
		return true;
	case SYS_connect:
		*ret = connect(a[0], (const void *)a[1], a[2]);
		return true;
	case SYS_listen:
		*ret = listen(a[0], a[1]);
		return true;
	case SYS_accept:
		*ret = accept(a[0], (void *)a[1], (void *)a[2]);
		return true;
	case SYS_accept4:
		*ret = accept4(a[0], (void *)a[1], (void *)a[2], a[3]);
		return true;
	case SYS_dup:
		*ret = dup(a[0]);
		return true;
#ifdef SYS_dup2
	case SYS_dup2:
		*ret = dup2(a[0], a[1]);
		return true;
#endif
	case SYS_dup3:
		*ret = dup3(a[0], a[1], a[2]);
		return true;
	case SYS_execve:
		*ret = execve((const char *)a[0], (char *const *)a[1], (char *const *)a[2]);
		return true;
	case SYS_execveat:
		*ret = execveat(a[0], (const char *)a[1], (char *const *)a[2], (char *const *)a[3],
				a[4]);
		return true;
	case SYS_epoll_ctl:
		*ret = epoll_ctl(a[0], a[1], a[2], (void *)a[3]);
		return true;
	case SYS_close:
		*ret = close(a[0]);
		return true;
	case SYS_close_range:
		*ret = close_range(a[0], a[1], a[2]);
		return true;
	default:
		return false;
	}
}

/* On a descriptor of ours. */
static bool moves(long number, const long *a, long *ret)
{
	switch (number) {
	case SYS_read:
		*ret = read(a[0], (void *)a[1], a[2]);
		return true;
	case SYS_readv:
		*ret = readv(a[0], (const void *)a[1], a[2]);
		return true;
	case SYS_recvfrom:
		*ret = recvfrom(a[0], (void *)a[1], a[2], a[3], (void *)a[4], (void *)a[5]);
		return true;
	case SYS_write:
		*ret = write(a[0], (const void *)a[1], a[2]);
		return true;
	case SYS_writev:
		*ret = writev(a[0], (const void *)a[1], a[2]);
		return true;
	case SYS_sendto:
		*ret = sendto(a[0], (const void *)a[1], a[2], a[3], (const void *)a[4], a[5]);
		return true;
	case SYS_sendfile:
		*ret = sendfile(a[0], a[1], (void *)a[2], a[3]);
		return true;
	default:
		return false;
	}
}

static bool asks(long number, const long *a, long *ret)
{
	switch (number) {
	case SYS_shutdown:
		*ret = shutdown(a[0], a[1]);
		return true;
	case SYS_fcntl:
		*ret = fcntl(a[0], a[1], a[2]);
		return true;
	case SYS_ioctl:
		*ret = ioctl(a[0], a[1], a[2]);
		return true;
	case SYS_getsockopt:
		*ret = getsockopt(a[0], a[1], a[2], (void *)a[3], (void *)a[4]);
		return true;
	case SYS_setsockopt:
		*ret = setsockopt(a[0], a[1], a[2], (const void *)a[3], a[4]);
		return true;
	default:
		return false;
	}
}

static void arguments_take(va_list ap, long a[static ARGUMENTS_MAX])
{
	for (int i = 0; i < ARGUMENTS_MAX; i++)
		a[i] = va_arg(ap, long);
}

long tcpcrypt_inproc_past(long number, ...);

/* For libtcpcrypt, whose sockets are encrypted already: past all of this. */
CALL long tcpcrypt_inproc_past(long number, ...)
{
	long a[ARGUMENTS_MAX];
	va_list ap;

	va_start(ap, number);
	arguments_take(ap, a);
	va_end(ap);
	return next()->syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

CALL long syscall(long number, ...)
{
	long a[ARGUMENTS_MAX], r;
	va_list ap;

	va_start(ap, number);
	arguments_take(ap, a);
	va_end(ap);
	if (calls_confine(number, a, &r))
		return r;
	/* From there on nobody sees what it writes: see calls_refused.c. */
	if (number == SYS_io_uring_setup)
		settings_off();
	/* These may concern two descriptors, or pass some on. */
	if (number == SYS_splice)
		return splice(a[0], (void *)a[1], a[2], (void *)a[3], a[4], a[5]);
	if (number == SYS_sendmsg)
		return sendmsg(a[0], (const void *)a[1], a[2]);
	if (number == SYS_sendmmsg)
		return sendmmsg(a[0], (void *)a[1], a[2], a[3]);
	if (number == SYS_recvmsg)
		return recvmsg(a[0], (void *)a[1], a[2]);
	if (number == SYS_recvmmsg)
		return recvmmsg(a[0], (void *)a[1], a[2], a[3], (void *)a[4]);
	if (begins(number, a, &r))
		return r;
	if (table_get(a[0]) && (moves(number, a, &r) || asks(number, a, &r)))
		return r;
	return next()->syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
