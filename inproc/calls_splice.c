// SPDX-License-Identifier: BSD-2-Clause
/* splice() between a pipe and a connection: bytes are copied, since frames are made of them. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "inproc/calls.h"
#include "inproc/calls_signal.h"
#include "inproc/next.h"

#define ALL_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT)

/* Waits for the pipe unless that is not wanted. 0, or a negative errno value. */
static int pipe_ready(int fd, short events, unsigned int flags)
{
	struct pollfd p = { .fd = fd, .events = events };
	const int mode = next()->fcntl(fd, F_GETFL);
	const bool waits = !(flags & SPLICE_F_NONBLOCK) && !(mode > 0 && mode & O_NONBLOCK);
	int n;

	signals_forget();
	/* The kernel's splice() goes on where poll() does not: behind handlers with SA_RESTART. */
	do {
		n = next()->poll(&p, 1, waits ? -1 : 0);
	} while (n < 0 && errno == EINTR && signals_handled() == SIGNALS_RESTART);
	if (n < 0)
		return -errno;
	if (!n)
		return -EAGAIN;
	if (!(p.revents & POLLERR))
		return 0;
	raise(SIGPIPE);
	return -EPIPE;
}

static ssize_t from_pipe(int pipe, int fd, size_t len, unsigned int flags, bool *ret_native)
{
	struct bytes from = { .file = pipe, .pipe = true };
	int available = 0;
	ssize_t r;

	*ret_native = false;
	/* Until there is something that nobody else has read meanwhile. */
	do {
		r = pipe_ready(pipe, POLLIN, flags);
		if (r)
			return calls_result(r);
		if (next()->ioctl(pipe, FIONREAD, &available) || available <= 0)
			return available;
		from.left = (size_t)available < len ? (size_t)available : len;
		r = calls_write(fd, &from, flags & SPLICE_F_MORE ? MSG_MORE : 0, ret_native);
	} while (!r && !*ret_native);
	return r;
}

/* Others may have filled it since it was ready, and what comes from a connection cannot go back. */
static ssize_t put(int pipe, const char *piece, size_t len)
{
	struct pollfd p = { .fd = pipe, .events = POLLOUT };
	ssize_t n = next()->write(pipe, piece, len);

	while (n < 0 && (errno == EAGAIN || errno == EINTR)) {
		next()->poll(&p, 1, -1);
		n = next()->write(pipe, piece, len);
	}
	return n;
}

/* A pipe that is ready has room for PIPE_BUF bytes. */
static ssize_t to_pipe(int fd, int pipe, size_t len, unsigned int flags, bool *ret_native)
{
	char piece[PIPE_BUF];
	const struct iovec iov = { piece, len < sizeof(piece) ? len : sizeof(piece) };
	struct bytes to = bytes_of(&iov, 1);
	ssize_t r = pipe_ready(pipe, POLLOUT, flags);

	*ret_native = false;
	if (r)
		return calls_result(r);
	r = calls_read(fd, &to, flags & SPLICE_F_NONBLOCK ? MSG_DONTWAIT : 0, ret_native);
	return r > 0 ? put(pipe, piece, r) : r;
}

/* Is it a pipe's end, and not one that is only for the other direction? */
static bool is_pipe(int fd, int other)
{
	int mode = next()->fcntl(fd, F_GETFL);

	return mode >= 0 && (mode & O_ACCMODE) != other && next()->fcntl(fd, F_GETPIPE_SZ) >= 0;
}

CALL ssize_t splice(int in, off_t *in_offset, int out, off_t *out_offset, size_t len,
		    unsigned int flags)
{
	const bool reads = table_is_ours(in), writes = table_is_ours(out);
	bool native = true;
	ssize_t r = 0;

	if (reads && writes)
		return calls_result(-EINVAL);
	/* What the kernel refuses is left to it: neither has an offset, and one is a pipe. */
	if (!in_offset && !out_offset && len && !(flags & ~ALL_FLAGS)) {
		if (writes && is_pipe(in, O_WRONLY))
			r = from_pipe(in, out, len, flags, &native);
		else if (reads && is_pipe(out, O_RDONLY))
			r = to_pipe(in, out, len, flags, &native);
	}
	return native ? next()->splice(in, in_offset, out, out_offset, len, flags) : r;
}
