// SPDX-License-Identifier: BSD-2-Clause
/* The calls that read and write. */
#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/next.h"
#include "inproc/rights.h"
#include "inproc/settings.h"

#ifndef RWF_NOAPPEND
#define RWF_NOAPPEND 0x20
#endif
/* Flags of preadv2() and pwritev2() that the kernel takes for sockets. */
#define RWF_KNOWN (RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | RWF_NOAPPEND)

/* As the kernel sees it; what it refuses is left to it. */
static bool is_sound(const struct iovec *iov, size_t n)
{
	if (n > IOV_MAX)
		return false;
	for (size_t i = 0; i < n; i++)
		if (iov[i].iov_len > SSIZE_MAX)
			return false;
	return true;
}

/* Whether to go on with the next definition: always for descriptors that are none of ours. */
static bool read_here(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *ret)
{
	struct bytes to;
	bool native;

	/* The kernel's own queue of errors. */
	if (!table_get(fd) || flags & MSG_ERRQUEUE || !is_sound(iov, n))
		return false;
	to = bytes_of(iov, n);
	*ret = calls_read(fd, &to, flags, &native);
	return !native;
}

static bool write_here(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *ret)
{
	struct bytes from;
	bool native;

	if (!table_get(fd) || !is_sound(iov, n))
		return false;
	from = bytes_of(iov, n);
	*ret = calls_write(fd, &from, flags, &native);
	return !native;
}

/* Files have nothing to say to who wants nothing. */
static bool read_file_here(int fd, const struct iovec *iov, size_t n, int flags, ssize_t *ret)
{
	return table_get(fd) && bytes_of(iov, n).left && read_here(fd, iov, n, flags, ret);
}

CALL ssize_t read(int fd, void *buf, size_t len)
{
	const struct iovec iov = { buf, len };
	ssize_t r;

	return read_file_here(fd, &iov, 1, 0, &r) ? r : next()->read(fd, buf, len);
}

CALL ssize_t readv(int fd, const struct iovec *iov, int n)
{
	ssize_t r;

	return n > 0 && read_file_here(fd, iov, n, 0, &r) ? r : next()->readv(fd, iov, n);
}

/* Of preadv2() and pwritev2(), as sockets take them. */
static int flags_of(int flags)
{
	return flags & RWF_NOWAIT ? MSG_DONTWAIT : 0;
}

/* Others it refuses when there is something to do; a newer one may not, and must not be asked. */
static bool flags_refused(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return flags & ~RWF_KNOWN && table_get(fd) && n > 0 && offset == -1 &&
	       bytes_of(iov, n).left;
}

CALL ssize_t preadv2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	ssize_t r;

	if (flags_refused(fd, iov, n, offset, flags))
		return calls_result(-EOPNOTSUPP);
	/* Only at the current position: a socket has no other. */
	if (n > 0 && offset == -1 && read_file_here(fd, iov, n, flags_of(flags), &r))
		return r;
	return next()->preadv2(fd, iov, n, offset, flags);
}

CALL ssize_t preadv64v2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return preadv2(fd, iov, n, offset, flags);
}

CALL ssize_t recv(int fd, void *buf, size_t len, int flags)
{
	const struct iovec iov = { buf, len };
	ssize_t r;

	return read_here(fd, &iov, 1, flags, &r) ? r : next()->recv(fd, buf, len, flags);
}

CALL ssize_t recvfrom(int fd, void *restrict buf, size_t len, int flags,
		      struct sockaddr *restrict from, socklen_t *restrict from_len)
{
	const struct iovec iov = { buf, len };
	ssize_t r;

	/* TCP gives no address. */
	if (read_here(fd, &iov, 1, flags, &r)) {
		if (from_len && r >= 0)
			*from_len = 0;
		return r;
	}
	return next()->recvfrom(fd, buf, len, flags, from, from_len);
}

CALL ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	ssize_t r;

	if (!read_here(fd, message->msg_iov, message->msg_iovlen, flags, &r)) {
		r = next()->recvmsg(fd, message, flags);
		if (r >= 0 && message->msg_controllen)
			rights_received(message, flags);
		return r;
	}
	if (r >= 0) {
		message->msg_namelen = 0;
		message->msg_controllen = 0;
		message->msg_flags = flags & MSG_CMSG_CLOEXEC;
	}
	return r;
}

CALL ssize_t write(int fd, const void *buf, size_t len)
{
	const struct iovec iov = { (void *)(uintptr_t)buf, len };
	ssize_t r;

	return write_here(fd, &iov, 1, 0, &r) ? r : next()->write(fd, buf, len);
}

CALL ssize_t writev(int fd, const struct iovec *iov, int n)
{
	ssize_t r;

	return n > 0 && write_here(fd, iov, n, 0, &r) ? r : next()->writev(fd, iov, n);
}

CALL ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	ssize_t r;

	if (flags_refused(fd, iov, n, offset, flags))
		return calls_result(-EOPNOTSUPP);
	if (n > 0 && offset == -1 && write_here(fd, iov, n, flags_of(flags), &r))
		return r;
	return next()->pwritev2(fd, iov, n, offset, flags);
}

CALL ssize_t pwritev64v2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
	return pwritev2(fd, iov, n, offset, flags);
}

CALL ssize_t send(int fd, const void *buf, size_t len, int flags)
{
	const struct iovec iov = { (void *)(uintptr_t)buf, len };
	ssize_t r;

	return write_here(fd, &iov, 1, flags, &r) ? r : next()->send(fd, buf, len, flags);
}

/*
 * MSG_FASTOPEN connects and sends in one call. With ENO no data goes in a SYN, so connect() is as
 * good, and what the kernel does without a cookie. False: *ret is the call's result.
 */
static bool begins_fast(int fd, int *flags, const struct sockaddr *to, socklen_t len, ssize_t *ret)
{
	if (!(*flags & MSG_FASTOPEN) || table_get(fd) || !table_is_sole(fd) || !settings_on())
		return true;
	*ret = connect(fd, to, len);
	*flags &= ~MSG_FASTOPEN;
	return !*ret;
}

CALL ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *to,
		    socklen_t to_len)
{
	const struct iovec iov = { (void *)(uintptr_t)buf, len };
	ssize_t r;

	if (!begins_fast(fd, &flags, to, to_len, &r))
		return r;
	/* As for is_sound(), though nobody reads the address. */
	if ((!to || to_len <= sizeof(struct sockaddr_storage)) &&
	    write_here(fd, &iov, 1, flags, &r))
		return r;
	return next()->sendto(fd, buf, len, flags, to, to_len);
}

static ssize_t send_rights(int fd, const struct msghdr *message, int flags)
{
	struct rights rights;
	ssize_t r;

	/* It goes before what the other process sends. */
	calls_send_held();
	r = rights_begin(&rights, message);
	r = r ? calls_result(r) : next()->sendmsg(fd, &rights.message, flags);
	rights_end(&rights, r >= 0);
	return r;
}

/* Ancillary data is not sent, but must be in the kernel's form. */
static bool control_is_whole(const struct msghdr *message)
{
	const char *at = message->msg_control;
	size_t left = at ? message->msg_controllen : 0, len;

	while (left >= sizeof(struct cmsghdr)) {
		len = ((const struct cmsghdr *)at)->cmsg_len;
		if (len < sizeof(struct cmsghdr) || len > left)
			return false;
		len = CMSG_ALIGN(len);
		if (len >= left)
			break;
		at += len;
		left -= len;
	}
	return true;
}

CALL ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t r;

	if (rights_passes(message) && !table_get(fd))
		return send_rights(fd, message, flags);
	if (!begins_fast(fd, &flags, message->msg_name, message->msg_namelen, &r))
		return r;
	if (table_get(fd) && !control_is_whole(message))
		return calls_result(-EINVAL);
	if (write_here(fd, message->msg_iov, message->msg_iovlen, flags, &r))
		return r;
	return next()->sendmsg(fd, message, flags);
}

CALL int sendmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags)
{
	unsigned int native = 0, done = 0;
	ssize_t r;

	/* Messages that carry connections go one by one, and all on a connection. */
	while (!table_get(fd) && native < n && !rights_passes(&messages[native].msg_hdr))
		native++;
	if (native || !n) {
		r = next()->sendmmsg(fd, messages, native, flags);
		if (r < (ssize_t)native || native == n)
			return r;
		done = native;
	}
	while (done < n) {
		const struct msghdr *message = &messages[done].msg_hdr;

		r = sendmsg(fd, message, flags);
		if (r < 0)
			break;
		messages[done++].msg_len = r;
		/* The rest of a message goes before the next. */
		if ((size_t)r < bytes_of(message->msg_iov, message->msg_iovlen).left)
			break;
	}
	return done ? (int)done : -1;
}

CALL int recvmmsg(int fd, struct mmsghdr *messages, unsigned int n, int flags,
		  struct timespec *timeout)
{
	ssize_t r;
	int done = 0;

	if (!table_get(fd)) {
		done = next()->recvmmsg(fd, messages, n, flags, timeout);
		for (int i = 0; i < done; i++)
			rights_received(&messages[i].msg_hdr, flags);
		return done;
	}
	while ((unsigned int)done < n) {
		r = recvmsg(fd, &messages[done].msg_hdr, flags & ~MSG_WAITFORONE);
		if (r < 0 && done)
			calls_read_later(fd, errno);
		if (r < 0)
			break;
		messages[done++].msg_len = r;
		if (!r)
			break;
		if (flags & MSG_WAITFORONE)
			flags |= MSG_DONTWAIT;
	}
	return done || !n ? done : -1;
}

CALL ssize_t sendfile(int out, int in, off_t *offset, size_t len)
{
	struct bytes from = { .file = in, .left = len < INT_MAX ? len : INT_MAX };
	bool native;
	ssize_t r;

	if (table_is_ours(in))
		return calls_result(-EINVAL);
	/* Or as for is_sound(). */
	if (!table_get(out) || len > SSIZE_MAX)
		return next()->sendfile(out, in, offset, len);
	from.offset = offset ? *offset : lseek(in, 0, SEEK_CUR);
	/* Only from files that have a position, if it is to move. */
	if (from.offset < 0)
		return calls_result(offset || errno == ESPIPE ? -EINVAL : -errno);
	r = calls_write(out, &from, 0, &native);
	if (native)
		return next()->sendfile(out, in, offset, len);
	/* Where there is nothing to be read at a position. */
	if (r < 0 && (errno == EISDIR || (errno == ESPIPE && !offset)))
		errno = EINVAL;
	if (r > 0 && offset)
		*offset += r;
	else if (r > 0 && lseek(in, from.offset, SEEK_SET) < 0)
		return -1;
	return r;
}

CALL ssize_t sendfile64(int out, int in, off_t *offset, size_t len)
{
	return sendfile(out, in, offset, len);
}

/* What glibc calls instead when a program is built with _FORTIFY_SOURCE. */

ssize_t __read_chk(int fd, void *buf, size_t len, size_t size);
ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size, int flags);
ssize_t __recvfrom_chk(int fd, void *restrict buf, size_t len, size_t size, int flags,
		       struct sockaddr *restrict from, socklen_t *restrict from_len);
void __chk_fail(void) __attribute__((noreturn));

CALL ssize_t __read_chk(int fd, void *buf, size_t len, size_t size)
{
	if (len > size)
		__chk_fail();
	return read(fd, buf, len);
}

CALL ssize_t __recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
	if (len > size)
		__chk_fail();
	return recv(fd, buf, len, flags);
}

CALL ssize_t __recvfrom_chk(int fd, void *restrict buf, size_t len, size_t size, int flags,
			    struct sockaddr *restrict from, socklen_t *restrict from_len)
{
	if (len > size)
		__chk_fail();
	return recvfrom(fd, buf, len, flags, from, from_len);
}
