// SPDX-License-Identifier: BSD-2-Clause
/* The names of its own that the C library lends to whoever asks for them. */
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inproc/calls.h"

ssize_t __read(int fd, void *buf, size_t len);
ssize_t __write(int fd, const void *buf, size_t len);
ssize_t __send(int fd, const void *buf, size_t len, int flags);
int __connect(int fd, const struct sockaddr *to, socklen_t len);
int __close(int fd);
int __dup2(int fd, int copy);
int __poll(struct pollfd *fds, nfds_t n, int timeout);
int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout);

CALL ssize_t __read(int fd, void *buf, size_t len)
{
	return read(fd, buf, len);
}

CALL ssize_t __write(int fd, const void *buf, size_t len)
{
	return write(fd, buf, len);
}

CALL ssize_t __send(int fd, const void *buf, size_t len, int flags)
{
	return send(fd, buf, len, flags);
}

CALL int __connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return connect(fd, to, len);
}

CALL int __close(int fd)
{
	return close(fd);
}

CALL int __dup2(int fd, int copy)
{
	return dup2(fd, copy);
}

CALL int __poll(struct pollfd *fds, nfds_t n, int timeout)
{
	return poll(fds, n, timeout);
}

CALL int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout)
{
	return select(n, in, out, except, timeout);
}
