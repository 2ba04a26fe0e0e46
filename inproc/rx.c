// SPDX-License-Identifier: BSD-2-Clause
/*
 * From the network. Frames that fit into what the program reads are taken from the kernel in one
 * call with what follows them; never more, so that all of it can be delivered at once. Of a frame
 * that does not fit, the last byte stays with the kernel until the program has read all that was
 * in it: so poll() and epoll_wait() tell the truth and need not be asked.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "inproc/arena.h"
#include "inproc/next.h"
#include "inproc/stream.h"
#include "inproc/urgent.h"

#define FRAME_OVERHEAD (TCPCRYPT_FRAME_HEADROOM + TCPCRYPT_FRAME_TAILROOM)
#define FRAME_HEADER   3 /* what says how long it is */
#define FRAME_URGENT \
	(TCPCRYPT_FRAME_HEADROOM_URGENT + 1 + TCPCRYPT_FRAME_TAILROOM) /* with one byte */
#define FRAME_SMALL 512 /* more is not copied only to be looked at */
#define INIT1_USUAL 512
#define INIT2_LEAST 74 /* header, one algorithm, nonce and the shortest of the public keys */

/* Room for len bytes behind c->rx.end. */
static int room_make(struct conn *c, size_t len)
{
	struct conn_rx *rx = &c->rx;

	if (!rx->buffer) {
		rx->buffer = arena_buffer_get(c->keys.arena);
		if (!rx->buffer)
			return -ENOBUFS;
	}
	if (rx->end + len <= ARENA_BUFFER_SIZE)
		return 0;
	if (!rx->plain_len)
		rx->plain_at = 0;
	memmove(rx->buffer + rx->plain_at + rx->plain_len, rx->buffer + rx->start,
		rx->end - rx->start);
	rx->end -= rx->start - (rx->plain_at + rx->plain_len);
	rx->start = rx->plain_at + rx->plain_len;
	return rx->end + len <= ARENA_BUFFER_SIZE ? 0 : -ENOBUFS;
}

/* TCP's end of stream: an end of file only after FINp (8548-3.7-2, 8548-3.7-3). */
static int stream_ended(struct conn *c, int fd)
{
	int r;

	/* The program does not want to know; the kernel tells it what it told itself. */
	c->rx.ended = true;
	if (c->rx_shut)
		return 0;
	/* And of an error it has told already. */
	if (c->tx_broken)
		return conn_broken(c, c->error);
	r = tcpcrypt_session_receive_fin(c->session, c->rx.end - c->rx.start);
	if (r)
		return conn_fail_for(c, fd, r);
	c->eof = true;
	return 0;
}

/* Receives up to len bytes: how many, 0 at the end of the stream, or an error. */
static ssize_t receive(struct conn *c, int fd, size_t len, int flags)
{
	ssize_t n;

	if (room_make(c, len))
		return conn_fail(c, fd);
	n = next()->recv(fd, c->rx.buffer + c->rx.end, len, MSG_DONTWAIT | flags);
	if (n > 0)
		c->rx.end += n;
	if (n > 0 && !(flags & MSG_PEEK))
		c->rx.taken += n;
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == EINTR)
		return -EAGAIN;
	return conn_broken(c, errno);
}

/* The last byte of what was opened, now that it was read. */
static int held_take(struct conn *c, int fd)
{
	uint8_t last;

	c->rx.held = false;
	if (next()->recv(fd, &last, 1, MSG_DONTWAIT) != 1)
		return conn_fail(c, fd);
	return 0;
}

/* 8548-3.9-2: has the peer keys as new as ours? */
static void proof_look(struct conn *c)
{
	struct tcpcrypt_session_info info;

	tcpcrypt_session_info(c->session, &info);
	c->proving = info.remote_generation < info.local_generation;
	if (!c->proving)
		conn_observer->proven(c);
}

/*
 * Opens the next message or frame, whose last byte the kernel may still have. 0, -EAGAIN when it
 * is not complete, or an error.
 */
static int open_next(struct conn *c, int fd, bool held)
{
	struct conn_rx *rx = &c->rx;
	struct tcpcrypt_received got;
	int r;

	rx->need = FRAME_HEADER;
	if (rx->start == rx->end)
		return -EAGAIN;
	r = tcpcrypt_session_receive(c->session, rx->buffer + rx->start, rx->end - rx->start, &got);
	if (r < 0)
		return conn_fail_for(c, fd, r);
	if (r == TCPCRYPT_AGAIN) {
		rx->need = got.need;
		return -EAGAIN;
	}
	rx->start += got.consumed;
	rx->held = held;
	if (got.events & TCPCRYPT_RX_URGENT)
		urgent_marked(c, fd, got.urgent_index);
	if (got.data_len) {
		/* One piece with what was opened before. */
		if (rx->plain_len)
			memmove(rx->buffer + rx->plain_at + rx->plain_len, got.data, got.data_len);
		else
			rx->plain_at = got.data - rx->buffer;
		rx->plain_len += got.data_len;
		urgent_arrived(c, fd);
	}
	c->eof |= !!(got.events & TCPCRYPT_RX_EOF);
	if (rx->held && !rx->plain_len) {
		r = held_take(c, fd);
		if (r)
			return r;
	}
	if (got.events & TCPCRYPT_RX_ESTABLISHED)
		conn_opened(c);
	if (c->proving)
		proof_look(c);
	if (got.events & TCPCRYPT_RX_ESTABLISHED && c->rx_shut)
		next()->shutdown(fd, SHUT_RD);
	if (c->phase == CONN_OPEN && c->fin_wanted && !c->fin_sealed)
		r = tx_finish(c, fd, false);
	else if (got.events & TCPCRYPT_RX_ESTABLISHED || tcpcrypt_session_has_output(c->session))
		r = tx_flush(c, fd, 0);
	return r == -EAGAIN || c->tx_broken ? 0 : r;
}

/*
 * Gets on with the next frame, all of whose data may go to space bytes. 0: something came, ret
 * says whether the kernel has no more; -EAGAIN; or an error. At the end of the stream c->eof.
 */
static int more(struct conn *c, int fd, size_t space, bool *ret_drained)
{
	struct conn_rx *rx = &c->rx;
	size_t have = rx->end - rx->start, want;
	ssize_t n;
	int r;

	if (rx->need <= FRAME_HEADER || rx->need <= space + FRAME_OVERHEAD) {
		want = space + FRAME_OVERHEAD - have;
		if (want > ARENA_BUFFER_SIZE / 2)
			want = ARENA_BUFFER_SIZE / 2;
	} else {
		want = rx->need - 1 - have;
	}
	if (want) {
		n = receive(c, fd, want, 0);
		if (n < 0)
			return n;
		*ret_drained = (size_t)n < want;
		return n ? 0 : stream_ended(c, fd);
	}
	n = receive(c, fd, 1, MSG_PEEK);
	if (n < 0)
		return n;
	if (!n)
		return stream_ended(c, fd);
	r = open_next(c, fd, true);
	/* It was complete, so it cannot want more; then it was not what it said. */
	return r == -EAGAIN ? conn_fail(c, fd) : r;
}

int rx_keys(struct conn *c, int fd)
{
	while (c->phase == CONN_EXPECT_KEYS) {
		size_t have = c->rx.end - c->rx.start;
		ssize_t n;
		int r = have ? open_next(c, fd, false) : -EAGAIN;

		if (!r)
			continue;
		if (r != -EAGAIN)
			return r;
		if (!have)
			c->rx.need = c->passive ? INIT1_USUAL : INIT2_LEAST;
		/* Another process has the key pair: it goes on, or nobody can. */
		if (!keys_has_pair(&c->keys))
			return -EAGAIN;
		/* Nothing follows an Init1 before it is answered; much may follow an Init2. */
		n = receive(c, fd, c->rx.need - have, 0);
		if (n < 0)
			return n;
		/* The program's own end of reading, or the stream's. */
		if (!n && c->rx_shut && conn_is_established(fd))
			return -EAGAIN;
		if (!n)
			return conn_fail_for(c, fd, TCPCRYPT_E_TRUNCATED);
	}
	return c->phase == CONN_OPEN ? 0 : -ECONNRESET;
}

/* Delivers opened bytes; then the kernel may have their last one back. */
static ssize_t deliver(struct conn *c, int fd, struct bytes *to, bool discard)
{
	struct conn_rx *rx = &c->rx;
	size_t len = urgent_before(c, rx->plain_len < to->left ? rx->plain_len : to->left);
	int r = 0;

	if (discard)
		bytes_skip(to, len);
	else
		bytes_put(to, rx->buffer + rx->plain_at, len);
	rx->plain_at += len;
	rx->plain_len -= len;
	rx->read += len;
	urgent_passed(c, false);
	if (!rx->plain_len && rx->held)
		r = held_take(c, fd);
	return r ? r : (ssize_t)len;
}

/* Bytes after FINp must not pass for an end of file. */
static int nothing_follows(struct conn *c, int fd)
{
	uint8_t byte;

	if (next()->recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1)
		return conn_fail_for(c, fd, TCPCRYPT_E_AFTER_FIN);
	return 0;
}

/* Reads end at the mark, unless what lies behind it was taken from the kernel with what is before, so
 * that nobody would hear of it. */
static bool stops_at_mark(const struct conn *c)
{
	return urgent_is_next(c) && (c->rx.held || (!c->rx.plain_len && c->rx.start == c->rx.end));
}

/* A mark that the program is told of by a signal: first it has the chance to read the byte. */
static bool is_told(const struct conn *c, uint64_t marked)
{
	return c->urgent.owned && urgent_is_next(c) && c->urgent.at != marked;
}

ssize_t rx_read(struct conn *c, int fd, struct bytes *to, bool discard)
{
	const uint64_t marked = c->urgent.state ? c->urgent.at : UINT64_MAX;
	bool drained = false;
	ssize_t done = 0, n;
	int r = 0;

	conn_used();
	c->rx.ended = false;
	while (to->left) {
		if (done ? stops_at_mark(c) : is_told(c, marked)) {
			r = -EAGAIN;
			break;
		}
		urgent_passed(c, true);
		if (c->rx.plain_len) {
			n = deliver(c, fd, to, discard);
			if (n < 0)
				return n;
			done += n;
			continue;
		}
		if (c->eof && c->rx.start == c->rx.end) {
			r = done ? 0 : nothing_follows(c, fd);
			break;
		}
		r = open_next(c, fd, false);
		if (!r)
			continue;
		if (r == -EAGAIN && !drained)
			r = more(c, fd, c->urgent.wanted ? 0 : to->left, &drained);
		if (r || c->rx.ended)
			break;
	}
	return done ? done : r;
}

/* Is there room for what may follow, and the kernel asked for it? */
static bool peek_is_open(const struct conn_rx *rx)
{
	return rx->held &&
	       rx->plain_at + rx->plain_len + 1 + TCPCRYPT_FRAME_MAX <= ARENA_BUFFER_SIZE;
}

/* Is another frame complete behind the held byte of this one? Then opens it, too. */
static int peek_further(struct conn *c, int fd)
{
	struct conn_rx *rx = &c->rx;
	size_t len, end = rx->plain_at + rx->plain_len;
	uint8_t *at;
	ssize_t n;

	if (!peek_is_open(rx))
		return -EAGAIN;
	at = rx->buffer + end;
	n = next()->recv(fd, at, 1 + TCPCRYPT_FRAME_MAX, MSG_DONTWAIT | MSG_PEEK);
	rx->seen = n > 0 ? n : 0;
	if (n < 1 + FRAME_HEADER)
		return -EAGAIN;
	len = FRAME_HEADER + (at[2] << 8 | at[3]);
	if ((size_t)n < 1 + len)
		return -EAGAIN;
	/* All but the new last byte; the old one goes first. */
	if (next()->recv(fd, NULL, len, MSG_DONTWAIT | MSG_TRUNC) != (ssize_t)len)
		return conn_fail(c, fd);
	rx->start = end + 1;
	rx->end = rx->start + len;
	return open_next(c, fd, true);
}

/* Opens frames until there are wanted bytes, or no more is complete. */
static int fill(struct conn *c, int fd, size_t wanted)
{
	bool drained = false;
	int r = 0;

	c->rx.ended = false;
	while (!r && !c->rx.ended && c->rx.plain_len < wanted) {
		if (c->rx.plain_len) {
			r = peek_further(c, fd);
			continue;
		}
		if (c->eof && c->rx.start == c->rx.end)
			break;
		r = open_next(c, fd, false);
		if (r == -EAGAIN)
			r = more(c, fd, 0, &drained);
	}
	return c->rx.plain_len ? 0 : r;
}

ssize_t rx_peek(struct conn *c, int fd, const struct bytes *to, bool discard)
{
	struct bytes copy = *to;
	size_t len;
	int r;

	c->rx.seen = 0;
	r = fill(c, fd, to->left ? to->left : 1);
	len = urgent_before(c, c->rx.plain_len < to->left ? c->rx.plain_len : to->left);
	if (!r && !discard)
		bytes_put(&copy, c->rx.buffer + c->rx.plain_at, len);
	return r ? r : (ssize_t)len;
}

size_t rx_peek_more(const struct conn *c)
{
	return c->eof || c->rx.ended || !peek_is_open(&c->rx) ? 0 : c->rx.seen;
}

void rx_look_ahead(struct conn *c, int fd)
{
	if (c->phase == CONN_OPEN)
		fill(c, fd, SIZE_MAX);
}

void rx_take_update(struct conn *c, int fd)
{
	const struct conn_rx *rx = &c->rx;
	const size_t have = rx->end - rx->start;
	uint8_t head[FRAME_HEADER];

	if (rx->held || rx->plain_len || c->eof)
		return;
	if (have >= sizeof(head))
		memcpy(head, rx->buffer + rx->start, sizeof(head));
	else if (have ||
		 next()->recv(fd, head, sizeof(head), MSG_DONTWAIT | MSG_PEEK) != sizeof(head))
		return;
	if (head[0] & 1 && FRAME_HEADER + (head[1] << 8 | head[2]) == FRAME_OVERHEAD)
		fill(c, fd, 1);
}

bool rx_has_unread(struct conn *c, int fd)
{
	return !fill(c, fd, 1) && (c->rx.plain_len || urgent_is_out(c));
}

/* Is there a whole frame with data, and not only an urgent byte? That is cheaper to see than to open
 * it here already; of small ones with one call. Positive: yes; negative: the connection is broken. */
static int has_frame(struct conn *c, int fd)
{
	uint8_t begin[FRAME_SMALL];
	int queued, frame;
	ssize_t n;

	if (c->rx.held || c->rx.start != c->rx.end)
		return 0;
	n = next()->recv(fd, begin, sizeof(begin), MSG_DONTWAIT | MSG_PEEK);
	/* The kernel tells it once. */
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return conn_broken(c, errno);
	if (n < FRAME_HEADER)
		return 0;
	frame = FRAME_HEADER + (begin[1] << 8 | begin[2]);
	if (frame <= (int)FRAME_URGENT || frame <= n)
		return frame > (int)FRAME_URGENT;
	return n == sizeof(begin) && !next()->ioctl(fd, FIONREAD, &queued) && queued >= frame;
}

bool rx_is_ready(struct conn *c, int fd)
{
	int r = 0;

	if (c->phase == CONN_EXPECT_KEYS)
		r = rx_keys(c, fd);
	if (!r && c->phase == CONN_OPEN && !c->rx.plain_len && !has_frame(c, fd))
		r = fill(c, fd, 1);
	return r != -EAGAIN || c->rx_shut;
}

/* The data in the complete frames at the front, whose lengths are not secret; and how much is
 * left of the stream behind them. */
static size_t data_in(const uint8_t *stream, size_t len, size_t *ret_rest)
{
	size_t total = 0, frame, at;

	for (at = 0; at + FRAME_HEADER <= len; at += frame) {
		frame = FRAME_HEADER + (stream[at + 1] << 8 | stream[at + 2]);
		if (at + frame > len)
			break;
		if (frame > FRAME_OVERHEAD)
			total += frame - FRAME_OVERHEAD;
	}
	*ret_rest = len - at;
	return total;
}

static size_t available(struct conn *c, int fd)
{
	struct conn_rx *rx = &c->rx;
	const size_t have = rx->end - rx->start, skip = rx->held;
	uint8_t *scratch = arena_buffer_get(c->keys.arena);
	size_t total = rx->plain_len, rest = 0;
	int queued = 0;
	ssize_t n;

	if (!scratch || next()->ioctl(fd, FIONREAD, &queued))
		queued = 0;
	if (queued > 0 && have <= TCPCRYPT_FRAME_MAX) {
		if (have)
			memcpy(scratch, rx->buffer + rx->start, have);
		n = next()->recv(fd, scratch + have, ARENA_BUFFER_SIZE - have,
				 MSG_DONTWAIT | MSG_PEEK);
		if (n > 0)
			total += data_in(scratch + skip, have + n - skip, &rest);
		/* Rather too many than too few: programs that read to the end of what there was
		 * wait for news then, and none comes of a frame that has begun already. */
		total += rest + (n > 0 && queued > n ? queued - n : 0);
	}
	arena_buffer_put(c->keys.arena, scratch);
	return total;
}

size_t rx_available(struct conn *c, int fd)
{
	if (c->urgent.wanted)
		rx_look_ahead(c, fd);
	/* As in the kernel: up to the byte that the stream does not have. */
	return urgent_is_out(c) ? c->urgent.at - c->rx.read : available(c, fd);
}

void rx_rest(struct conn *c)
{
	struct conn_rx *rx = &c->rx;

	if (c->phase != CONN_OPEN)
		return;
	if (rx->plain_len || rx->start != rx->end)
		return;
	arena_buffer_drop(c->keys.arena, &rx->buffer);
	rx->plain_at = rx->start = rx->end = 0;
}
