// SPDX-License-Identifier: BSD-2-Clause
/* What socket objects do: the handshake, both directions, waiting. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>

#include "inproc/negotiated.h"
#include "inproc/next.h"
#include "inproc/stream.h"
#include "lib/process.h"
#include "lib/report.h"
#include "lib/socket.h"

int socket_lock(struct tcpcrypt_socket *s)
{
	/* The same keys and offsets in two processes are the same nonces (8548-3.8-7). */
	if (!s->conn || s->process != process_number() || conn_lock(s->conn))
		return socket_error(TCPCRYPT_E_STATE);
	return 0;
}

/* Of inproc/'s results 0 and -EAGAIN are left as they are; the connection has any other. */
static int outcome(struct tcpcrypt_socket *s, ssize_t r)
{
	if (s->conn->tx_broken)
		conn_broken(s->conn, s->conn->error);
	if (s->conn->phase == CONN_FAILED)
		return socket_note_failure(s);
	return r == -EAGAIN ? TCPCRYPT_AGAIN : 0;
}

static int tcp_advance(struct tcpcrypt_socket *s)
{
	struct pollfd p = { .fd = s->fd, .events = POLLOUT };
	int error = 0;
	socklen_t len = sizeof(error);

	if (poll(&p, 1, 0) <= 0)
		return TCPCRYPT_AGAIN;
	s->connecting = false;
	if (next()->getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) || error) {
		conn_broken(s->conn, error ? error : errno);
		return socket_note_failure(s);
	}
	return 0;
}

/*
 * TCP's handshake has ended. What the engine says is final. Has it gone since, then of accepted
 * connections one is plain whose SYN asked for nothing else, and of any other nobody knows.
 */
static void negotiate(struct tcpcrypt_socket *s)
{
	struct shared_inproc inproc;
	struct conn *c = s->conn;
	int r = s->marked ? negotiated_ask(s->fd, &inproc) : -ENOPROTOOPT;

	s->lost = r == -ESTALE || (!r && (inproc.reason == ENO_SOCK_NO_ACK ||
					  inproc.reason == ENO_SOCK_SYN_COOKIE));
	if (r == -ENOENT) {
		c->phase = CONN_PLAIN;
		s->reason = TCPCRYPT_ENO_LEFT_ALONE;
	} else if (r && (!s->marked || (s->accepted && !negotiated_syn_had_eno(s->fd)))) {
		c->phase = CONN_PLAIN;
		s->reason = TCPCRYPT_ENO_NO_ENGINE;
	} else if (r) {
		s->lost = true;
		conn_fail_for(c, s->fd, TCPCRYPT_E_NO_ENGINE);
	} else if (inproc.state == ENO_SOCK_PENDING) {
		conn_fail_for(c, s->fd, TCPCRYPT_E_STATE);
	} else {
		conn_begin(c, s->fd, &inproc);
		socket_note_negotiated(s, &inproc);
	}
	/* The programs know what is required; but not that what they leave alone is, too. */
	if (c->phase == CONN_PLAIN && s->require)
		conn_fail_for(c, s->fd, TCPCRYPT_E_PLAIN);
	if (c->phase == CONN_PLAIN && c->fin_wanted)
		c->fin_shut = !next()->shutdown(s->fd, SHUT_WR);
	/* The secret of a session that is resumed is in there (8548-3.5-21). */
	explicit_bzero(&inproc, sizeof(inproc));
}

int socket_advance(struct tcpcrypt_socket *s)
{
	struct conn *c = s->conn;
	int r = s->connecting ? tcp_advance(s) : 0;

	if (r)
		return r;
	if (c->phase == CONN_EXPECT_TCP)
		negotiate(s);
	if (c->phase == CONN_EXPECT_KEYS) {
		r = tx_flush(c, s->fd, 0);
		if (!r || r == -EAGAIN)
			r = rx_keys(c, s->fd);
		rx_rest(c);
	}
	if (c->phase == CONN_OPEN && !s->session.established)
		socket_note_keys(s);
	/* Whatever of it is left to send, there are keys. */
	return outcome(s, c->phase == CONN_OPEN ? 0 : r);
}

int socket_finish(struct tcpcrypt_socket *s, bool closing)
{
	return outcome(s, tx_finish(s->conn, s->fd, closing));
}

/* Is there something that only waits for room in the kernel? */
static bool is_pending(const struct conn *c)
{
	return c->tx.start < c->tx.end || c->tx.queued || (c->fin_wanted && !c->fin_sealed);
}

short socket_events_now(const struct tcpcrypt_socket *s, short wanted)
{
	const struct conn *c = s->conn;

	if (s->listening)
		return POLLIN;
	if (!c)
		return 0;
	if (s->connecting)
		return POLLOUT;
	if (c->phase == CONN_EXPECT_KEYS)
		return POLLIN | (c->tx.start < c->tx.end ? POLLOUT : 0);
	if (c->phase == CONN_OPEN && is_pending(c))
		wanted |= POLLOUT;
	return wanted & (POLLIN | POLLOUT);
}

short tcpcrypt_socket_events(struct tcpcrypt_socket *s, short wanted)
{
	short events;

	if (socket_lock(s))
		return socket_events_now(s, wanted);
	events = socket_events_now(s, wanted);
	conn_unlock(s->conn);
	return events;
}

static bool does_wait(const struct tcpcrypt_socket *s)
{
	const int mode = next()->fcntl(s->fd, F_GETFL);

	return mode >= 0 && !(mode & O_NONBLOCK);
}

/* Exactly as the kernel waits, if it does: with the socket's timeout, interrupted or restarted. */
static int wait_readable(struct tcpcrypt_socket *s)
{
	char byte;
	int error;

	if (next()->recv(s->fd, &byte, 1, MSG_PEEK) >= 0)
		return 0;
	error = errno;
	if (error == EAGAIN || error == EINTR)
		return TCPCRYPT_AGAIN;
	/* The kernel tells of an error once, and this was it. */
	if (socket_lock(s))
		return TCPCRYPT_E_STATE;
	conn_broken(s->conn, error);
	error = socket_note_failure(s);
	conn_unlock(s->conn);
	return error;
}

/* option: SO_RCVTIMEO or SO_SNDTIMEO. */
static int wait_for(const struct tcpcrypt_socket *s, short events, int option)
{
	struct pollfd p = { .fd = s->fd, .events = events };
	struct timeval limit = {};
	socklen_t len = sizeof(limit);
	int ms = -1;

	if (!next()->getsockopt(s->fd, SOL_SOCKET, option, &limit, &len) &&
	    (limit.tv_sec || limit.tv_usec) && limit.tv_sec < INT_MAX / 1000)
		ms = limit.tv_sec * 1000 + (limit.tv_usec + 999) / 1000;
	return poll(&p, 1, ms) > 0 ? 0 : TCPCRYPT_AGAIN;
}

int socket_wait(struct tcpcrypt_socket *s, short wanted)
{
	const short events = tcpcrypt_socket_events(s, wanted);

	/* Another thread has done it. */
	if (!events)
		return 0;
	if (events == POLLIN)
		return wait_readable(s);
	if (!does_wait(s))
		return TCPCRYPT_AGAIN;
	return wait_for(s, events, wanted & POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO);
}

/* The handshake. It is waited for with the lock, because nobody can do anything before, and who
 * would wait as well might wait for bytes that the other one has taken. */
static int shake(struct tcpcrypt_socket *s)
{
	int r = socket_advance(s);

	while (r == TCPCRYPT_AGAIN && does_wait(s)) {
		const short events = socket_events_now(s, 0);

		if (wait_for(s, events, events & POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO))
			return r;
		r = socket_advance(s);
	}
	return r;
}

typedef int step_fn(struct tcpcrypt_socket *s);

static int once(struct tcpcrypt_socket *s, step_fn *step)
{
	int r = socket_lock(s);

	if (r)
		return r;
	r = step(s);
	conn_unlock(s->conn);
	return r;
}

/* A step, again and again until it need not wait. */
static int complete(struct tcpcrypt_socket *s, step_fn *step)
{
	int r;

	do {
		r = once(s, step);
	} while (r == TCPCRYPT_AGAIN && !(r = socket_wait(s, 0)));
	return r;
}

int tcpcrypt_socket_handshake(struct tcpcrypt_socket *s)
{
	return once(s, shake);
}

/* What waits to be sent. */
static int push(struct tcpcrypt_socket *s)
{
	struct conn *c = s->conn;

	if (c->phase != CONN_OPEN)
		return 0;
	if (c->fin_wanted && !c->fin_shut)
		return socket_finish(s, false);
	return outcome(s, tx_flush(c, s->fd, 0));
}

static int flush(struct tcpcrypt_socket *s)
{
	int r = shake(s);

	return r ? r : push(s);
}

int tcpcrypt_socket_flush(struct tcpcrypt_socket *s)
{
	return complete(s, flush);
}

static int shut_down(struct tcpcrypt_socket *s)
{
	struct conn *c = s->conn;
	int r = shake(s);

	/* FINp follows the keys by itself, or FIN what turns out to be plain. */
	if (r == TCPCRYPT_AGAIN)
		c->fin_wanted = true;
	if (r || c->fin_shut)
		return r;
	if (c->phase == CONN_OPEN)
		return socket_finish(s, false);
	return next()->shutdown(s->fd, SHUT_WR) ? socket_error_system() : 0;
}

int tcpcrypt_socket_shutdown(struct tcpcrypt_socket *s)
{
	return complete(s, shut_down);
}

/* What is plain is the kernel's, with its waiting and its errors. */
static int plain(ssize_t n, size_t *ret_len)
{
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? TCPCRYPT_AGAIN : socket_error_system();
	*ret_len = n;
	return 0;
}

static int plain_read(struct tcpcrypt_socket *s, void *buf, size_t len, size_t *ret_len)
{
	ssize_t n = next()->recv(s->fd, buf, len, 0);

	return !n && len ? TCPCRYPT_EOF : plain(n, ret_len);
}

static int plain_write(struct tcpcrypt_socket *s, const void *buf, size_t len, size_t *ret_len)
{
	return plain(next()->send(s->fd, buf, len, MSG_NOSIGNAL), ret_len);
}

/* Locked. *ret_plain: nothing was done, the socket is the kernel's. */
static int read_step(struct tcpcrypt_socket *s, struct bytes *to, size_t *ret_len, bool *ret_plain)
{
	struct conn *c = s->conn;
	int r = shake(s);
	ssize_t n;

	if (!r && is_pending(c))
		r = push(s);
	if (r == TCPCRYPT_AGAIN && c->phase == CONN_OPEN)
		r = 0;
	/* It failed after FINp had come, which is the end for who reads (8548-3.7-2). */
	if (r == TCPCRYPT_E_SYSTEM && c->phase == CONN_FAILED && !c->rx_error)
		return TCPCRYPT_EOF;
	*ret_plain = c->phase == CONN_PLAIN;
	if (r || *ret_plain)
		return r;
	n = rx_read(c, s->fd, to, false);
	rx_rest(c);
	if (n > 0 || (n == 0 && !to->left)) {
		*ret_len = n;
		return 0;
	}
	return n == 0 ? TCPCRYPT_EOF : outcome(s, n);
}

/* Is it going to wait, as the last time? Then it need not look first. */
static bool waits_again(struct conn *c)
{
	const bool again = c->may_block && c->phase == CONN_OPEN && !c->rx.plain_len && !c->eof &&
			   !is_pending(c);

	c->may_block = false;
	return again;
}

int tcpcrypt_socket_read(struct tcpcrypt_socket *s, void *buf, size_t len, size_t *ret_len)
{
	const struct iovec iov = { buf, len };
	struct bytes to = bytes_of(&iov, 1);
	bool is_plain = false, waited = false;
	int r;

	do {
		r = socket_lock(s);
		if (r)
			return r;
		if (!waited && len && waits_again(s->conn))
			r = TCPCRYPT_AGAIN;
		else
			r = read_step(s, &to, ret_len, &is_plain);
		s->conn->may_block = waited;
		waited = true;
		report_call(s);
		conn_unlock(s->conn);
		if (is_plain)
			return plain_read(s, buf, len, ret_len);
	} while (r == TCPCRYPT_AGAIN && !(r = socket_wait(s, POLLIN)));
	return r;
}

/* As read_step(). It has taken some even if it has to wait. */
static int write_step(struct tcpcrypt_socket *s, struct bytes *from, bool *ret_plain)
{
	struct conn *c = s->conn;
	int r = shake(s);
	ssize_t n;

	*ret_plain = c->phase == CONN_PLAIN;
	if (r || *ret_plain)
		return r;
	n = tx_write(c, s->fd, from, 0);
	if (n == -EPIPE && c->phase == CONN_OPEN) {
		errno = EPIPE;
		return TCPCRYPT_E_STATE;
	}
	return outcome(s, from->left || is_pending(c) ? -EAGAIN : 0);
}

int tcpcrypt_socket_write(struct tcpcrypt_socket *s, const void *buf, size_t len, size_t *ret_len)
{
	const struct iovec iov = { (void *)(uintptr_t)buf, len };
	struct bytes from = bytes_of(&iov, 1);
	bool is_plain = false;
	int r;

	do {
		r = socket_lock(s);
		if (r)
			return r;
		r = write_step(s, &from, &is_plain);
		report_call(s);
		conn_unlock(s->conn);
		if (is_plain)
			return plain_write(s, buf, len, ret_len);
	} while (r == TCPCRYPT_AGAIN && !(r = socket_wait(s, POLLOUT)));
	/* Of a connection that is gone nothing was taken. */
	if (r < 0 || (r == TCPCRYPT_AGAIN && from.left == len && len))
		return r;
	*ret_len = len - from.left;
	return 0;
}

static int rekey(struct tcpcrypt_socket *s)
{
	struct conn *c = s->conn;
	int r = socket_advance(s);

	if (!r && c->phase == CONN_PLAIN)
		return socket_error(TCPCRYPT_E_STATE);
	if (!r)
		r = tcpcrypt_session_rekey(c->session);
	if (!r)
		tx_flush(c, s->fd, 0);
	if (r < 0 && c->phase == CONN_OPEN)
		conn_fail_for(c, s->fd, r);
	return r == TCPCRYPT_AGAIN ? r : outcome(s, 0);
}

int tcpcrypt_socket_rekey(struct tcpcrypt_socket *s)
{
	return once(s, rekey);
}
