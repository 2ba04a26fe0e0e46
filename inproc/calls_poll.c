// SPDX-License-Identifier: BSD-2-Clause
/*
 * poll() and select(): what only the key exchange wants to read, or a part of a frame, does not
 * make a socket readable. Programs that read when they are told to do not expect EAGAIN, nor to
 * wait. (Those that use epoll mostly do: epolled.h.)
 */
#include "inproc/calls_poll.h"

#include <poll.h>
#include <string.h>
#include <sys/select.h>
#include <time.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/moment.h"
#include "inproc/next.h"

#define READABLE (POLLIN | POLLRDNORM)
#define WRITABLE (POLLOUT | POLLWRNORM | POLLWRBAND)

/* What the kernel goes on to show, though the program is not to see it, before there are keys: how often to
 * look. */
#define KEYS_NS 2000000

/* The kernel says that fd, which is c's (locked), is readable: is it, for the program? */
static bool is_ready(struct conn *c, int fd)
{
	const bool ready = rx_is_ready(c, fd);

	rx_rest(c);
	if (c->phase == CONN_EXPECT_KEYS)
		helper_watch(c, fd);
	return ready;
}

/* *again: set if not, and the kernel will say so again at once. */
static bool is_readable(int fd, bool *again)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);
	bool ready;

	errno = saved;
	if (!c)
		return true;
	ready = is_ready(c, fd);
	/* Its Init message stays with the kernel until the right process comes. */
	*again |= !ready && !keys_has_pair(&c->keys);
	conn_unlock(c);
	errno = saved;
	return ready;
}

/* Here is no room before there are keys, whatever the kernel has. */
static bool is_full(int fd, bool *again)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);
	const bool full = c && c->phase == CONN_EXPECT_KEYS && c->tx.full && !c->fin_wanted;

	if (full)
		helper_watch(c, fd);
	if (c)
		conn_unlock(c);
	*again |= full;
	errno = saved;
	return full;
}

/* For a call that waits until end: until it is time to look again, or a handler of a signal ends it. */
static int look_again(int64_t end, const sigset_t *mask)
{
	const struct timespec pause = { .tv_nsec = KEYS_NS };

	return now_ns() < end ? next()->ppoll(NULL, 0, &pause, mask) : 0;
}

bool calls_took_all(int fd)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);
	bool all = false;

	if (c) {
		/* Here or by the helper. Whatever it was: who takes nothing might be told of it for ever. */
		all = !is_ready(c, fd) && c->rx.taken != c->rx.looked_at;
		c->rx.looked_at = c->rx.taken;
		conn_unlock(c);
	}
	errno = saved;
	return all;
}

/* An error that was found here, and of which the kernel tells no more. */
static bool has_error(int fd)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);
	bool found = c && conn_tx_is_over(c) && c->tx_error;

	if (c)
		conn_unlock(c);
	errno = saved;
	return found;
}

/* What the kernel found, as far as it is so for the program. */
static short corrected(const struct pollfd *p, bool *again)
{
	short events = p->revents;

	if (!table_get(p->fd))
		return events;
	/* An error is the program's to hear of. */
	if (events & READABLE && !(events & (POLLERR | POLLHUP)) && !is_readable(p->fd, again))
		events &= ~READABLE;
	if (events & WRITABLE && !(events & (POLLERR | POLLHUP)) && is_full(p->fd, again))
		events &= ~WRITABLE;
	return has_error(p->fd) ? events | POLLERR | (p->events & (READABLE | POLLOUT)) : events;
}

/* Returns how many are left; -1: as poll(). */
static int polled(struct pollfd *fds, nfds_t n, int found, int64_t end, const sigset_t *mask)
{
	bool again = false;
	int left = found;

	for (nfds_t i = 0; i < n && found; i++) {
		if (!fds[i].revents)
			continue;
		found--;
		fds[i].revents = corrected(&fds[i], &again);
		left -= !fds[i].revents;
	}
	return left || !again ? left : look_again(end, mask);
}

/* What is left of timeout, which is not negative, to end; false: nothing. */
static bool time_left(int64_t end, struct timespec *timeout)
{
	int64_t left = end - now_ns();

	if (left <= 0)
		return false;
	timeout->tv_sec = left / 1000000000;
	timeout->tv_nsec = left % 1000000000;
	return true;
}

/* ---- urgent data: the kernel knows of none, so frames are opened ahead ---- */

/* Of who waits for nothing else no event tells while there are unread bytes: how often to look. */
#define URGENT_MS 10

/* Is there an urgent byte? looks: opens what has come. */
static bool is_urgent(int fd, bool looks)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);
	bool found = false;

	if (c) {
		c->urgent.wanted |= looks;
		if (c->urgent.wanted)
			rx_look_ahead(c, fd);
		rx_rest(c);
		found = c->urgent.state == URGENT_UNREAD;
		conn_unlock(c);
	}
	errno = saved;
	return found;
}

/*
 * Many ask for POLLPRI with POLLIN and mean nothing by it: to open frames here, and not where they
 * are read, would cost them. Who asks again and has not read what there was means it.
 */
static bool insists(int fd)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);
	bool again = false;

	if (c) {
		again = c->urgent.asked == c->tx.calls + 1;
		c->urgent.asked = c->tx.calls + 1;
		conn_unlock(c);
	}
	errno = saved;
	return again;
}

static bool asks(const struct pollfd *p)
{
	return p->events & POLLPRI && table_get(p->fd);
}

static bool asks_urgent(const struct pollfd *fds, nfds_t n)
{
	for (nfds_t i = 0; i < n; i++)
		if (asks(&fds[i]))
			return true;
	return false;
}

/* How long the kernel may wait before the next look. */
static const struct timespec *wait_for(bool found, bool alone, int64_t end, struct timespec *wait)
{
	const int64_t slice = now_ns() + URGENT_MS * 1000000LL;

	if (found || !time_left(alone && slice < end ? slice : end, wait))
		*wait = (struct timespec){};
	return end == INT64_MAX && !found && !alone ? NULL : wait;
}

static int poll_urgent(struct pollfd *fds, nfds_t n, int64_t end, const sigset_t *mask)
{
	struct timespec wait;
	bool found, alone;
	int r;

	do {
		found = alone = false;
		for (nfds_t i = 0; i < n; i++) {
			if (!asks(&fds[i]))
				continue;
			alone |= !(fds[i].events & READABLE);
			found |= is_urgent(fds[i].fd, !(fds[i].events & READABLE));
		}
		r = next()->ppoll(fds, n, wait_for(found, alone, end, &wait), mask);
		if (r < 0)
			return r;
		r = polled(fds, n, r, end, mask);
		if (r < 0)
			return r;
		for (nfds_t i = 0; i < n; i++) {
			if (!asks(&fds[i]) ||
			    !is_urgent(fds[i].fd, fds[i].revents & READABLE && insists(fds[i].fd)))
				continue;
			r += !fds[i].revents;
			fds[i].revents |= POLLPRI;
		}
	} while (!r && now_ns() < end);
	return r;
}

static int64_t end_of(const struct timespec *timeout)
{
	return timeout ? now_ns() + timeout->tv_sec * 1000000000LL + timeout->tv_nsec : INT64_MAX;
}

/* ---- the calls ---- */

CALL int poll(struct pollfd *fds, nfds_t n, int timeout)
{
	const int64_t end = timeout > 0 ? now_ns() + timeout * 1000000LL : 0;
	struct timespec left;
	int r;

	calls_send_held();
	if (asks_urgent(fds, n))
		return poll_urgent(fds, n, timeout < 0 ? INT64_MAX : end, NULL);
	for (;;) {
		r = next()->poll(fds, n, timeout);
		if (r > 0) {
			r = polled(fds, n, r, timeout < 0 ? INT64_MAX : end, NULL);
			if (!r && timeout < 0)
				continue;
			if (!r && timeout && time_left(end, &left)) {
				timeout = left.tv_sec * 1000 + (left.tv_nsec + 999999) / 1000000;
				continue;
			}
		}
		return r;
	}
}

CALL int ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
	struct timespec left;
	int64_t end = 0;
	int r;

	calls_send_held();
	if (asks_urgent(fds, n))
		return poll_urgent(fds, n, end_of(timeout), mask);
	if (timeout)
		end = end_of(timeout);
	for (;;) {
		r = next()->ppoll(fds, n, timeout, mask);
		if (r <= 0)
			return r;
		r = polled(fds, n, r, timeout ? end : INT64_MAX, mask);
		if (r || (timeout && !time_left(end, &left)))
			return r;
		if (timeout)
			timeout = &left;
	}
}

/* The sets of a call to select(), which change; sets of other sizes are the kernel's alone. */
struct sets {
	fd_set *given[3];
	fd_set asked[3];
	size_t size;
	bool urgent; /* exceptions of ours are asked for */
};

static bool sets_save(struct sets *s, int n, fd_set *in, fd_set *out, fd_set *except)
{
	bool ours = false;

	s->urgent = false;
	for (int fd = 0; fd < n && n <= FD_SETSIZE; fd++) {
		ours |= ((in && FD_ISSET(fd, in)) || (out && FD_ISSET(fd, out))) && table_get(fd);
		s->urgent |= except && FD_ISSET(fd, except) && table_get(fd);
	}
	if (!ours && !s->urgent)
		return false;
	s->given[0] = in;
	s->given[1] = out;
	s->given[2] = except;
	s->size = (n + NFDBITS - 1) / NFDBITS * sizeof(fd_mask);
	for (int i = 0; i < 3; i++)
		if (s->given[i])
			memcpy(&s->asked[i], s->given[i], s->size);
	return true;
}

static void sets_restore(struct sets *s)
{
	for (int i = 0; i < 3; i++)
		if (s->given[i])
			memcpy(s->given[i], &s->asked[i], s->size);
}

/* Corrects what the kernel found, and returns how much is left; -1: as select(). */
static int selected(struct sets *s, int n, int found, int64_t end, const sigset_t *mask)
{
	fd_set *in = s->given[0], *out = s->given[1];
	bool again = false;
	int r;

	for (int fd = 0; fd < n; fd++) {
		if (!table_get(fd))
			continue;
		if (in && FD_ISSET(fd, in) && !is_readable(fd, &again)) {
			FD_CLR(fd, in);
			found--;
		}
		if (out && FD_ISSET(fd, out) && is_full(fd, &again)) {
			FD_CLR(fd, out);
			found--;
		}
	}
	if (found || !again)
		return found;
	r = look_again(end, mask);
	if (r < 0)
		sets_restore(s);
	return r;
}

static bool asks_except(const struct sets *s, int fd)
{
	return FD_ISSET(fd, &s->asked[2]) && table_get(fd);
}

static int select_urgent(struct sets *s, int n, int64_t end, const sigset_t *mask)
{
	struct timespec wait;
	bool found, alone;
	int r;

	do {
		sets_restore(s);
		found = alone = false;
		for (int fd = 0; fd < n; fd++) {
			if (!asks_except(s, fd))
				continue;
			alone |= !s->given[0] || !FD_ISSET(fd, &s->asked[0]);
			found |= is_urgent(fd, true);
		}
		r = next()->pselect(n, s->given[0], s->given[1], s->given[2],
				    wait_for(found, alone, end, &wait), mask);
		if (r < 0)
			return r;
		r = selected(s, n, r, end, mask);
		if (r < 0)
			return r;
		for (int fd = 0; fd < n; fd++) {
			if (!asks_except(s, fd) || FD_ISSET(fd, s->given[2]) ||
			    !is_urgent(fd, true))
				continue;
			FD_SET(fd, s->given[2]);
			r++;
		}
	} while (!r && now_ns() < end);
	return r;
}

/* The kernel leaves in timeout what is left of it. */
static int select_left(struct sets *s, int n, struct timeval *timeout)
{
	const int64_t end = timeout ? now_ns() + timeout->tv_sec * 1000000000LL +
					      timeout->tv_usec * 1000LL
				    : INT64_MAX;
	struct timespec left = {};
	int r = select_urgent(s, n, end, NULL);

	if (timeout && !time_left(end, &left))
		left = (struct timespec){};
	if (timeout)
		*timeout = (struct timeval){ left.tv_sec, left.tv_nsec / 1000 };
	return r;
}

/* So here. */
CALL int select(int n, fd_set *restrict in, fd_set *restrict out, fd_set *restrict except,
		struct timeval *restrict timeout)
{
	struct timespec left;
	int64_t end = 0;
	struct sets s;
	int r;

	calls_send_held();
	if (!sets_save(&s, n, in, out, except))
		return next()->select(n, in, out, except, timeout);
	if (s.urgent)
		return select_left(&s, n, timeout);
	if (timeout)
		end = now_ns() + timeout->tv_sec * 1000000000LL + timeout->tv_usec * 1000LL;
	for (;;) {
		r = next()->select(n, in, out, except, timeout);
		if (r <= 0)
			return r;
		r = selected(&s, n, r, timeout ? end : INT64_MAX, NULL);
		if (r || (timeout && !time_left(end, &left)))
			return r;
		if (timeout)
			*timeout = (struct timeval){ left.tv_sec, left.tv_nsec / 1000 };
		sets_restore(&s);
	}
}

CALL int pselect(int n, fd_set *restrict in, fd_set *restrict out, fd_set *restrict except,
		 const struct timespec *restrict timeout, const sigset_t *restrict mask)
{
	struct timespec left;
	int64_t end = 0;
	struct sets s;
	int r;

	calls_send_held();
	if (!sets_save(&s, n, in, out, except))
		return next()->pselect(n, in, out, except, timeout, mask);
	if (s.urgent)
		return select_urgent(&s, n, end_of(timeout), mask);
	if (timeout)
		end = end_of(timeout);
	for (;;) {
		r = next()->pselect(n, in, out, except, timeout, mask);
		if (r <= 0)
			return r;
		r = selected(&s, n, r, timeout ? end : INT64_MAX, mask);
		if (r || (timeout && !time_left(end, &left)))
			return r;
		if (timeout)
			timeout = &left;
		sets_restore(&s);
	}
}

/* See calls_data.c. */

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size);
int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask,
		size_t size);
void __chk_fail(void) __attribute__((noreturn));

CALL int __poll_chk(struct pollfd *fds, nfds_t n, int timeout, size_t size)
{
	if (size / sizeof(*fds) < n)
		__chk_fail();
	return poll(fds, n, timeout);
}

CALL int __ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout,
		     const sigset_t *mask, size_t size)
{
	if (size / sizeof(*fds) < n)
		__chk_fail();
	return ppoll(fds, n, timeout, mask);
}
