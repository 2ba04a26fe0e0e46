// SPDX-License-Identifier: BSD-2-Clause
/*
 * The calls of inproc/next.h, straight to the kernel: a program that uses this library may itself
 * be run in in-process mode, and nothing shall be encrypted twice.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "inproc/next.h"

/* Of the in-process library, which otherwise sees these as well; nobody's where it is not loaded. */
extern long tcpcrypt_inproc_past(long number, ...) __attribute__((weak));

#define system_call(...) (tcpcrypt_inproc_past ? tcpcrypt_inproc_past : syscall)(__VA_ARGS__)

static ssize_t system_read(int fd, void *buf, size_t len)
{
	return system_call(SYS_read, fd, buf, len);
}

static ssize_t system_recv(int fd, void *buf, size_t len, int flags)
{
	return system_call(SYS_recvfrom, fd, buf, len, flags, NULL, NULL);
}

static ssize_t system_send(int fd, const void *buf, size_t len, int flags)
{
	return system_call(SYS_sendto, fd, buf, len, flags, NULL, 0);
}

static int system_close(int fd)
{
	return system_call(SYS_close, fd);
}

static int system_shutdown(int fd, int how)
{
	return system_call(SYS_shutdown, fd, how);
}

static int system_fcntl(int fd, int command, ...)
{
	va_list ap;
	long argument;

	va_start(ap, command);
	argument = va_arg(ap, long);
	va_end(ap);
	return system_call(SYS_fcntl, fd, command, argument);
}

static int system_ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *argument;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	return system_call(SYS_ioctl, fd, request, argument);
}

static int system_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	return system_call(SYS_getsockopt, fd, level, name, value, len);
}

static int system_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return system_call(SYS_setsockopt, fd, level, name, value, len);
}

static int system_socket(int domain, int type, int protocol)
{
	return system_call(SYS_socket, domain, type, protocol);
}

static int system_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return system_call(SYS_connect, fd, to, len);
}

static int system_listen(int fd, int backlog)
{
	return system_call(SYS_listen, fd, backlog);
}

static int system_accept4(int fd, struct sockaddr *from, socklen_t *len, int flags)
{
	return system_call(SYS_accept4, fd, from, len, flags);
}

static int system_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
	const struct timespec timeout = {
		.tv_sec = timeout_ms / 1000,
		.tv_nsec = timeout_ms % 1000 * 1000000L,
	};

	return system_call(SYS_ppoll, fds, n, timeout_ms < 0 ? NULL : &timeout, NULL, 0);
}

struct next next_calls = {
	.read = system_read,
	.recv = system_recv,
	.send = system_send,
	.close = system_close,
	.shutdown = system_shutdown,
	.fcntl = system_fcntl,
	.ioctl = system_ioctl,
	.getsockopt = system_getsockopt,
	.setsockopt = system_setsockopt,
	.socket = system_socket,
	.connect = system_connect,
	.listen = system_listen,
	.accept4 = system_accept4,
	.poll = system_poll,
};
atomic_bool next_found = true;

void next_find(void)
{
}
