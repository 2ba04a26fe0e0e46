// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/calls.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>

#include "inproc/calls_signal.h"
#include "inproc/epolled.h"
#include "inproc/helper.h"
#include "inproc/moment.h"
#include "inproc/next.h"
#include "inproc/turns.h"
#include "inproc/urgent.h"

/* Somebody else makes the keys: how often to look whether they are there. */
#define KEYS_MS 2

/* Another thread shuts down or closes what a call waits to write to, and the kernel, which has frames to
 * send, does not hear of it yet: how often to look. */
#define SHUT_MS 100

/* Errors are told once, as the kernel does; but see conn_broken(). */
static int take_error(int *error)
{
	int r = -*error;

	*error = 0;
	return r;
}

/*
 * The connection of fd for a step of a call, locked, as from table_use(). The first step notes its turn;
 * for those behind a wait it must be the same one: otherwise *ret_error is EBADF, or ESHUTDOWN if it
 * was shut down before it was closed.
 */
static struct conn *use(int fd, bool first, uint32_t *turn, int *ret_error)
{
	struct conn *c = table_use(fd, ret_error);

	if (first)
		*turn = turns_now(fd);
	if (*turn == turns_now(fd))
		return c;
	if (c)
		conn_unlock(c);
	*ret_error = turns_was_shut(fd, *turn) ? ESHUTDOWN : EBADF;
	return NULL;
}

/* Unlocks; what is left to do is done if the program does not come back. */
static void leave(struct conn *c, int fd)
{
	bool busy = c->tx.start < c->tx.end || c->tx.queued || c->tx.quick ||
		    c->phase == CONN_EXPECT_KEYS || c->urgent.owned;

	c->tx.calls++;
	rx_rest(c);
	if (busy && c->phase != CONN_FAILED)
		helper_watch(c, fd);
	conn_unlock(c);
}

static ssize_t read_open(struct conn *c, int fd, struct bytes *to, int flags)
{
	int r = 0;

	if (c->phase == CONN_EXPECT_TCP)
		return -EAGAIN;
	if (c->phase == CONN_EXPECT_KEYS)
		r = rx_keys(c, fd);
	if (r)
		return r;
	if (flags & MSG_PEEK)
		return rx_peek(c, fd, to, flags & MSG_TRUNC);
	return rx_read(c, fd, to, flags & MSG_TRUNC);
}

/* A single step, without waiting. */
static ssize_t read_step(struct conn *c, int fd, struct bytes *to, int flags)
{
	ssize_t r;

	if (c->phase == CONN_FAILED) {
		c->tx_error = 0;
		return take_error(&c->rx_error);
	}
	r = read_open(c, fd, to, flags);
	if (r == -EAGAIN && c->rx_shut)
		return 0;
	/* What that is to who reads: see conn_broken(). */
	return r < 0 && c->phase == CONN_FAILED ? -c->rx_error : r;
}

/*
 * Waits for bytes exactly as the program's own call would, with its timeouts and interruptions,
 * and without taking any. Returns 0 or an error; a socket that does not wait: EAGAIN.
 */
static int wait_readable(int fd)
{
	char byte;

	return next()->recv(fd, &byte, 1, MSG_PEEK) < 0 ? -errno : 0;
}

/* SO_RCVTIMEO or SO_SNDTIMEO; 0: none. */
static int64_t limit_ms(int fd, int option)
{
	struct timeval tv = {};
	socklen_t len = sizeof(tv);

	if (next()->getsockopt(fd, SOL_SOCKET, option, &tv, &len))
		return 0;
	return tv.tv_sec * 1000LL + (tv.tv_usec + 999) / 1000;
}

/* Does a call wait, as far as the descriptor says? */
static bool is_blocking(int fd)
{
	const int mode = next()->fcntl(fd, F_GETFL);

	return mode >= 0 && !(mode & O_NONBLOCK);
}

/*
 * The same once more, for a call that wants several bytes and waits since begun: its time is that of all
 * its waits together. (Who takes any byte would have had one by now.)
 */
static int wait_further(int fd, int64_t begun)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	const int64_t limit = limit_ms(fd, SO_RCVTIMEO), left = begun + limit - now_ms();
	int n;

	if (!limit || !is_blocking(fd))
		return wait_readable(fd);
	if (left <= 0)
		return -EAGAIN;
	n = next()->poll(&p, 1, left < INT_MAX ? (int)left : INT_MAX);
	return n < 0 ? -errno : n ? 0 : -EAGAIN;
}

/* Has a handler run that ends the call, while this had not begun to wait? One that has done something
 * ends with any. */
static int interrupted(int fd, ssize_t done)
{
	if (!(signals_handled() & SIGNALS_INTERRUPT) && !(signals_handled() && done))
		return 0;
	return is_blocking(fd) ? -EINTR : 0;
}

/*
 * For MSG_PEEK with MSG_WAITALL, which has found some: waits likewise for more than the kernel
 * had, which is what further frames begin with. False: there is no more, or not in time.
 */
static bool wait_more(int fd, size_t had)
{
	return next()->recv(fd, NULL, had + 1, MSG_PEEK | MSG_WAITALL | MSG_TRUNC) > (ssize_t)had;
}

/*
 * The kernel tells of an error once, and it was told when we waited. What the call is to say: see
 * conn_broken(). Was it another thread that found the connection broken, and reset it, then the kernel
 * has woken this one with an error of its own choice (EPIPE). A call that has read something leaves it to the
 * next one.
 */
static int note(int fd, uint32_t turn, int error, ssize_t done)
{
	struct conn *c;
	int other;

	if (error == -EINTR)
		return error;
	c = use(fd, false, &turn, &other);
	if (!c)
		return other == ESHUTDOWN ? 0 : error;
	if (error == -EAGAIN) {
		c->may_block = false;
	} else {
		conn_broken(c, -error);
		if (!done) {
			c->tx_error = 0;
			error = take_error(&c->rx_error);
		}
	}
	conn_unlock(c);
	return error;
}

/* How many bytes a call waits for: all that it wants, or what SO_RCVLOWAT says. */
static size_t least(const struct conn *c, size_t wanted, int flags)
{
	size_t low = c->rcvlowat > 1 ? c->rcvlowat : 1;

	if (flags & MSG_PEEK && !(flags & MSG_WAITALL))
		return 1;
	return flags & MSG_WAITALL || wanted < low ? wanted : low;
}

/* recv(MSG_OOB), which never waits. */
static ssize_t urgent_read(int fd, struct bytes *to, int flags, bool *ret_native)
{
	const bool empty = !to->left;
	uint8_t byte;
	int error, r;
	struct conn *c = table_use(fd, &error);

	if (!c) {
		*ret_native = !error;
		return calls_result(-error);
	}
	c->urgent.wanted = true;
	if (c->phase == CONN_EXPECT_KEYS)
		rx_keys(c, fd);
	if (c->urgent.state != URGENT_UNREAD)
		rx_look_ahead(c, fd);
	r = urgent_take(c, fd, flags & MSG_PEEK, &byte);
	if (r == 1 && !empty && !(flags & MSG_TRUNC))
		bytes_put(to, &byte, 1);
	leave(c, fd);
	return calls_result(r == 1 && empty ? 0 : r);
}

ssize_t calls_read(int fd, struct bytes *to, int flags, bool *ret_native)
{
	const size_t wanted = to->left;
	bool foreign, more, waits, several, first = true, waited = false;
	int64_t begun = 0;
	ssize_t done = 0, r;
	size_t had = 0;
	uint32_t turn;

	*ret_native = false;
	calls_send_held();
	pthread_testcancel();
	signals_forget();
	if (flags & MSG_OOB)
		return urgent_read(fd, to, flags, ret_native);
	/* recv() waits for the first byte none the less. */
	if (!wanted)
		flags |= MSG_PEEK;
	for (;;) {
		int error;
		struct conn *c = use(fd, first, &turn, &error);

		if (!c) {
			*ret_native = !error;
			return calls_result(done || error == ESHUTDOWN ? done : -error);
		}
		/* The error is for the next call. */
		if (done && c->phase == CONN_FAILED) {
			leave(c, fd);
			break;
		}
		if (waited && !c->may_block)
			c->may_block = is_blocking(fd);
		if (first && c->may_block && !c->rx.plain_len && !(flags & MSG_DONTWAIT) &&
		    c->phase == CONN_OPEN && !c->eof) {
			/* It is going to wait, as the last time. */
			r = -EAGAIN;
		} else {
			r = read_step(c, fd, to, flags);
			if (r < 0 && c->phase == CONN_FAILED && !done)
				c->rx_error = c->tx_error = 0;
		}
		first = false;
		foreign = c->phase == CONN_EXPECT_KEYS && !keys_has_pair(&c->keys);
		waits = c->may_block;
		if (r > 0)
			done = flags & MSG_PEEK ? r : done + r;
		if (r > 0 && flags & MSG_PEEK)
			had = rx_peek_more(c);
		if (r == 0 || (r > 0 && urgent_is_next(c)) || (flags & MSG_PEEK && r > 0 && !had) ||
		    (r > 0 && (size_t)done >= least(c, wanted, flags)) || (r < 0 && r != -EAGAIN) ||
		    flags & MSG_DONTWAIT) {
			leave(c, fd);
			break;
		}
		more = c->rx.plain_len;
		several = least(c, wanted, flags) > 1;
		leave(c, fd);
		if (r > 0 && flags & MSG_PEEK && !wait_more(fd, had))
			break;
		/* Or a mark was in between. */
		if (r > 0 || more)
			continue;
		if (foreign)
			next()->poll(NULL, 0, KEYS_MS);
		r = interrupted(fd, done);
		if (!waited && several)
			begun = now_ms();
		if (!r)
			r = waited && several ? wait_further(fd, begun) : wait_readable(fd);
		if (r && (r != -EAGAIN || waits))
			r = note(fd, turn, r, done);
		if (r)
			break;
		waited = true;
	}
	if (done || r == -EAGAIN)
		epolled_read(fd, !done);
	return calls_result(done ? done : r);
}

void calls_read_later(int fd, int error)
{
	int other;
	struct conn *c = table_use(fd, &other);

	if (!c)
		return;
	if (c->phase == CONN_FAILED)
		c->rx_error = error;
	conn_unlock(c);
}

/* What this thread wrote last, if it is not sent yet: see tx_write(). */
static __thread int held_fd = -1;

void calls_send_held(void)
{
	const int fd = held_fd, saved = errno;
	struct conn *c = fd < 0 ? NULL : table_lock(fd);

	held_fd = -1;
	if (!c)
		return;
	if (c->tx.held)
		tx_flush(c, fd, 0);
	leave(c, fd);
	errno = saved;
}

/* When a call that begins to wait now gives up: SO_SNDTIMEO; INT64_MAX: never. */
static int64_t send_end(int fd)
{
	const int64_t limit = limit_ms(fd, SO_SNDTIMEO);

	return limit ? now_ms() + limit : INT64_MAX;
}

/*
 * 0; -EAGAIN: the time is up, or the socket does not wait; or -EINTR. The keys may be made by
 * another thread, of which no event tells. *end: the whole call's, at first 0.
 */
static int wait_writable(int fd, bool for_keys, int64_t *end)
{
	struct pollfd p = { .fd = fd, .events = for_keys ? POLLIN : POLLOUT };
	int mode = next()->fcntl(fd, F_GETFL);
	const int64_t slice = for_keys ? KEYS_MS : SHUT_MS;
	int64_t left;
	int n;

	/* Closed: use() says so. */
	if (mode < 0)
		return 0;
	if (mode & O_NONBLOCK)
		return -EAGAIN;
	if (!*end)
		*end = send_end(fd);
	left = *end == INT64_MAX ? slice : *end - now_ms();
	if (left <= 0)
		return -EAGAIN;
	n = next()->poll(&p, 1, left < slice ? (int)left : (int)slice);
	return n < 0 && errno == EINTR ? -EINTR : 0;
}

static int write_error(struct conn *c)
{
	return c->tx_error ? take_error(&c->tx_error) : -EPIPE;
}

static ssize_t write_step(struct conn *c, int fd, struct bytes *from, int flags)
{
	int r = 0;

	if (conn_tx_is_over(c))
		return write_error(c);
	if (c->phase == CONN_EXPECT_TCP)
		return -EAGAIN;
	if (c->phase == CONN_EXPECT_KEYS)
		r = rx_keys(c, fd);
	if (r && r != -EAGAIN)
		return r;
	/* Found when our Init message was to be sent. */
	if (c->tx_broken)
		return write_error(c);
	return tx_write(c, fd, from, flags & (MSG_MORE | MSG_OOB));
}

ssize_t calls_write(int fd, struct bytes *from, int flags, bool *ret_native)
{
	ssize_t done = 0, r, waited;
	bool left, for_keys, first = true;
	int64_t end = 0;
	uint32_t turn;

	*ret_native = false;
	if (held_fd != fd)
		calls_send_held();
	pthread_testcancel();
	signals_forget();
	for (;;) {
		int error;
		struct conn *c = use(fd, first, &turn, &error);

		if (!c && error == ESHUTDOWN) {
			r = -EPIPE;
			break;
		}
		if (!c) {
			*ret_native = !error && !done;
			return calls_result(done ? done : -error);
		}
		/* So here. */
		if (done && conn_tx_is_over(c)) {
			leave(c, fd);
			break;
		}
		first = false;
		r = write_step(c, fd, from, flags);
		if (r > 0)
			done += r;
		else if (conn_tx_is_over(c) && !done)
			c->tx_error = 0;
		/* A call that waits does so until the kernel has it all, as it would without us. */
		left = from->left ||
		       (c->phase == CONN_OPEN && c->tx.start < c->tx.end && !c->tx.held);
		held_fd = c->tx.held ? fd : -1;
		for_keys = c->phase == CONN_EXPECT_KEYS;
		leave(c, fd);
		if (!left || (r < 0 && r != -EAGAIN) || flags & MSG_DONTWAIT)
			break;
		waited = interrupted(fd, done);
		if (!waited)
			waited = wait_writable(fd, for_keys, &end);
		if (!waited)
			continue;
		/* The kernel's send() goes on where poll() does not: behind handlers with SA_RESTART. */
		if (waited == -EINTR && !done && end == INT64_MAX &&
		    signals_handled() == SIGNALS_RESTART)
			continue;
		r = waited;
		break;
	}
	if (!done && r == -EPIPE && !(flags & MSG_NOSIGNAL))
		raise(SIGPIPE);
	return calls_result(done ? done : r);
}

void calls_new(int fd)
{
	epolled_new(fd);
	table_listener_ended(fd);
	if (fd < 0 || !table_get(fd))
		return;
	/* Closed behind our back: its connection ended without a word. Or close() has not returned. */
	table_gone(fd);
	table_closed(fd);
	table_replaced(fd);
}
