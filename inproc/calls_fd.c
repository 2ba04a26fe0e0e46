// SPDX-License-Identifier: BSD-2-Clause
/* The calls that close, duplicate and ask about descriptors. */
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/kept.h"
#include "inproc/next.h"
#include "inproc/urgent.h"

CALL int close(int fd)
{
	struct table_close closing;
	int r;

	/* Of these the program does not know. */
	if (kept_is(fd))
		return calls_result(-EBADF);
	if (!table_get(fd))
		return next()->close(fd);
	if (table_is_foreign(fd)) {
		r = next()->close(fd);
		table_replaced(fd);
		return r;
	}
	table_close_begin(&closing);
	table_closing(fd);
	r = next()->close(fd);
	table_closed(fd);
	table_close_end(&closing);
	return r;
}

/* All but the helper's own. */
static int range_close(unsigned int first, unsigned int last, int flags)
{
	int kept, r;

	while (first <= last && (kept = kept_first(first, last)) >= 0) {
		r = (unsigned int)kept > first ? next()->close_range(first, kept - 1, flags) : 0;
		if (r || (unsigned int)kept == last)
			return r;
		first = kept + 1;
	}
	return next()->close_range(first, last, flags);
}

static int range_mark(unsigned int first, unsigned int last, int flags)
{
	const unsigned int end = atomic_load(&table_end);
	const int r = next()->close_range(first, last, flags);

	for (unsigned int fd = first; !r && fd <= last && fd < end; fd++)
		if (table_get(fd))
			table_inherits(fd, false);
	return r;
}

CALL int close_range(unsigned int first, unsigned int last, int flags)
{
	const unsigned int end = atomic_load(&table_end);
	const bool closes = table_is_own();
	struct table_close closing = {};
	int r;

	/* Also what the kernel will refuse. */
	if (flags & ~CLOSE_RANGE_UNSHARE)
		return range_mark(first, last, flags);
	if (closes)
		table_close_begin(&closing);
	for (unsigned int fd = first; closes && fd <= last && fd < end; fd++)
		table_closing(fd);
	r = range_close(first, last, flags);
	for (unsigned int fd = first; closes && fd <= last && fd < end; fd++)
		table_closed(fd);
	for (unsigned int fd = first; !r && fd <= last && fd < end; fd++)
		table_replaced(fd);
	if (closes)
		table_close_end(&closing);
	return r;
}

CALL void closefrom(int first)
{
	close_range(first < 0 ? 0 : first, ~0U, 0);
}

static int shutdown_write(struct conn *c, int fd)
{
	int r = 0;

	if (c->phase == CONN_FAILED)
		return -ENOTCONN;
	if (c->phase == CONN_EXPECT_KEYS)
		r = rx_keys(c, fd);
	if (!r || r == -EAGAIN)
		r = tx_finish(c, fd, false);
	if (r == -EAGAIN)
		helper_watch(c, fd);
	return c->tx_broken ? -ENOTCONN : 0;
}

CALL int shutdown(int fd, int how)
{
	int error, r = 0;
	struct conn *c = table_use(fd, &error);

	if (!c && error)
		return calls_result(-error);
	if (!c || c->phase == CONN_EXPECT_TCP || how < SHUT_RD || how > SHUT_RDWR) {
		if (c)
			conn_unlock(c);
		return next()->shutdown(fd, how);
	}
	if (how != SHUT_WR)
		c->rx_shut = true;
	if ((how == SHUT_RD && c->phase != CONN_EXPECT_KEYS) || c->fin_shut) {
		conn_unlock(c);
		return next()->shutdown(fd, how);
	}
	if (how != SHUT_RD)
		r = shutdown_write(c, fd);
	/* Who waits is woken. Init messages that are still to come are taken in none the less. */
	if (how != SHUT_WR && !r && (c->phase == CONN_OPEN || c->phase == CONN_EXPECT_KEYS))
		next()->shutdown(fd, SHUT_RD);
	conn_unlock(c);
	return calls_result(r);
}

/* What fd is duplicated to; no fork comes in between, which may move its connection. */
static bool copy_begin(int fd, struct table_close *ret)
{
	const bool ours = table_get(fd) && table_is_own();

	if (ours)
		table_close_begin(ret);
	return ours;
}

/* A connection has come to copy. */
static void copied(int fd, int copy)
{
	table_copied(fd, copy);
	if (copy <= STDERR_FILENO && table_get(copy))
		calls_streams();
}

CALL int dup(int fd)
{
	struct table_close copying;
	bool ours;
	int copy;

	if (table_is_foreign(fd))
		return calls_result(-EBADF);
	table_shared(fd);
	ours = copy_begin(fd, &copying);
	copy = next()->dup(fd);
	calls_new(copy);
	if (copy >= 0)
		copied(fd, copy);
	if (ours)
		table_close_end(&copying);
	return copy;
}

/* dup2() closes what it puts a duplicate in the place of; not so if it is going to fail. */
static void replace(int fd, int copy)
{
	int saved = errno;

	if (fd != copy && table_get(copy) && next()->fcntl(fd, F_GETFD) >= 0)
		table_closing(copy);
	errno = saved;
}

/* flags: dup3()'s, or -1 for dup2(). */
static int duplicate(int fd, int copy, int flags)
{
	bool closes;
	struct table_close closing = {};
	int r;

	if (table_is_foreign(fd))
		return calls_result(-EBADF);
	table_shared(fd);
	table_shared(copy);
	closes = (table_get(fd) || table_get(copy)) && table_is_own();
	if (closes)
		table_close_begin(&closing);
	if (fd != copy)
		table_awaits(fd, copy);
	replace(fd, copy);
	if (kept_is(copy) && table_is_own())
		helper_make_way(copy);
	r = flags < 0 ? next()->dup2(fd, copy) : next()->dup3(fd, copy, flags);
	if (r >= 0 && fd != copy) {
		table_replaced(copy);
		copied(fd, copy);
	}
	table_closed(copy);
	if (closes)
		table_close_end(&closing);
	return r;
}

CALL int dup2(int fd, int copy)
{
	return duplicate(fd, copy, -1);
}

CALL int dup3(int fd, int copy, int flags)
{
	return duplicate(fd, copy, flags & INT_MAX);
}

/* FD_CLOEXEC: see table_enter(). */
static int exec_flag_set(int fd, int flags)
{
	int error;
	struct conn *c = table_use(fd, &error);

	if (!c && !error)
		return next()->fcntl(fd, F_SETFD, flags);
	/* After vfork() the table is the parent's, and the descriptor is not. */
	if (c && !table_is_foreign(fd))
		table_inherits(fd, !(flags & FD_CLOEXEC));
	if (c)
		conn_unlock(c);
	return next()->fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

static int exec_flag_get(int fd)
{
	const int r = next()->fcntl(fd, F_GETFD);

	return r >= 0 && table_inherited(fd) ? r & ~FD_CLOEXEC : r;
}

/* Who is told of urgent data: frames must be opened as they come. */
static void owner_set(int fd)
{
	const int saved = errno;
	int domain = 0, error;
	socklen_t len = sizeof(domain);
	struct conn *c;

	if (!next()->getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) &&
	    (domain == AF_INET || domain == AF_INET6))
		atomic_store(&conn_urgent_wanted, true);
	c = table_get(fd) ? table_use(fd, &error) : NULL;
	if (c) {
		urgent_owned(c, fd);
		if (c->urgent.owned)
			helper_watch(c, fd);
		conn_unlock(c);
	}
	errno = saved;
}

CALL int fcntl(int fd, int command, ...)
{
	struct table_close copying;
	bool ours = false;
	va_list ap;
	void *argument;
	int r;

	va_start(ap, command);
	argument = va_arg(ap, void *);
	va_end(ap);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
		table_shared(fd);
		ours = copy_begin(fd, &copying);
	}
	if (command == F_GETFD && table_get(fd))
		return exec_flag_get(fd);
	if (command == F_SETFD && table_get(fd))
		return exec_flag_set(fd, (int)(uintptr_t)argument);
	r = next()->fcntl(fd, command, argument);
	if (command == F_SETOWN || command == F_SETOWN_EX)
		owner_set(fd);
	if (r >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC)) {
		calls_new(r);
		copied(fd, r);
	}
	if (ours)
		table_close_end(&copying);
	return r;
}

CALL int fcntl64(int fd, int command, ...) __attribute__((alias("fcntl")));
CALL int __fcntl(int fd, int command, ...) __attribute__((alias("fcntl")));

/* FIONREAD (SIOCINQ): in the program's bytes, as far as they are known. */
static int available(struct conn *c, int fd)
{
	size_t n = 0;

	if (c->phase == CONN_EXPECT_KEYS)
		rx_keys(c, fd);
	if (c->phase == CONN_OPEN)
		n = rx_available(c, fd);
	rx_rest(c);
	return n < INT_MAX ? n : INT_MAX;
}

/* SIOCATMARK */
static bool is_at_mark(struct conn *c, int fd)
{
	c->urgent.wanted = true;
	rx_look_ahead(c, fd);
	return urgent_is_next(c);
}

static bool is_count(unsigned long request)
{
	return request == SIOCATMARK || request == FIONREAD || request == SIOCOUTQ ||
	       request == SIOCOUTQNSD;
}

static int count(struct conn *c, int fd, unsigned long request, int *ret)
{
	int r;

	if (request == FIONREAD && c->phase != CONN_EXPECT_TCP) {
		*ret = available(c, fd);
		return 0;
	}
	if (request == SIOCATMARK && c->phase != CONN_EXPECT_TCP) {
		*ret = is_at_mark(c, fd);
		return 0;
	}
	/* SIOCOUTQ: what waits here has not been sent, either. */
	r = next()->ioctl(fd, request, ret);
	if (!r && request != FIONREAD && request != SIOCATMARK)
		*ret += c->tx.queued + (c->tx.end - c->tx.start);
	return r;
}

CALL int ioctl(int fd, unsigned long request, ...)
{
	struct conn *c = NULL;
	va_list ap;
	void *argument;
	int error, r;

	va_start(ap, request);
	argument = va_arg(ap, void *);
	va_end(ap);
	if ((request == FIOCLEX || request == FIONCLEX) && table_get(fd))
		return exec_flag_set(fd, request == FIOCLEX ? FD_CLOEXEC : 0);
	if (is_count(request) && table_get(fd))
		c = table_use(fd, &error);
	if (!c) {
		r = next()->ioctl(fd, request, argument);
		if (request == FIOSETOWN || request == SIOCSPGRP)
			owner_set(fd);
		return r;
	}
	r = count(c, fd, request, argument);
	conn_unlock(c);
	return r;
}

CALL int sockatmark(int fd)
{
	int at_mark;

	return ioctl(fd, SIOCATMARK, &at_mark) ? -1 : at_mark;
}
