// SPDX-License-Identifier: BSD-2-Clause
/*
 * To the network. What a call writes is sealed in frames in one buffer and given to the kernel at
 * once; what the kernel does not take stays there, and goes before anything else.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "inproc/arena.h"
#include "inproc/moment.h"
#include "inproc/next.h"
#include "inproc/stream.h"

/* A frame is readable only when it is complete: small while the stream is young, so that it
 * arrives in one segment, large in bulk, where each frame costs. */
#define CHUNK_FIRST 1380
#define CHUNK_MAX   TCPCRYPT_FRAME_DATA_MAX
#define CHUNK_RUN   8 /* full frames until they become twice as large */

/* From here on to seal from where the program has it is faster than to copy and seal in place. */
#define LENT_MIN 4096

/*
 * Servers write a response's header, and the file behind it by sendfile(): two segments, without
 * us, and two system calls. Once a program has done so so often in a row, the header waits for the
 * file; if none comes, it leaves with the thread's next call that may wait (calls_send_held()), and
 * at the latest when the helper comes by, which is at work on such a connection anyway.
 */
#define PAIRS	 8
#define PAIRS_MS 1 /* from one to the next: otherwise it is not worth it */

#define FRAME_OVERHEAD (TCPCRYPT_FRAME_HEADROOM + TCPCRYPT_FRAME_TAILROOM)

/* Data frames leave so much room, for what the session itself has to say. */
#define DATA_ROOM (ARENA_BUFFER_SIZE - 2 * TCPCRYPT_OUTPUT_MAX)

static int buffer_get(struct conn *c, int fd, uint8_t **buffer)
{
	if (!*buffer)
		*buffer = arena_buffer_get(c->keys.arena);
	return *buffer ? 0 : conn_fail(c, fd);
}

/* 8548-3.8-7: each byte is sealed once and given to the kernel once; the engine's guard lets no
 * others pass. */
static int push(struct conn *c, int fd, int flags)
{
	struct conn_tx *tx = &c->tx;

	tx->held = false;
	while (tx->start < tx->end) {
		ssize_t n = next()->send(fd, tx->buffer + tx->start, tx->end - tx->start,
					 MSG_DONTWAIT | MSG_NOSIGNAL | flags);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return -EAGAIN;
		if (n < 0)
			return conn_tx_broken(c, errno);
		tx->start += n;
	}
	tx->start = tx->end = 0;
	arena_buffer_drop(c->keys.arena, &tx->buffer);
	return 0;
}

/* Init messages and rekey frames, behind what waits already. */
static int say(struct conn *c, int fd)
{
	struct conn_tx *tx = &c->tx;
	size_t len;
	int r;

	while (tcpcrypt_session_has_output(c->session)) {
		if (buffer_get(c, fd, &tx->buffer))
			return -ECONNRESET;
		if (tx->end + TCPCRYPT_OUTPUT_MAX > ARENA_BUFFER_SIZE)
			return -EAGAIN;
		r = tcpcrypt_session_output(c->session, tx->buffer + tx->end, &len);
		if (r)
			return conn_fail_for(c, fd, r);
		tx->end += len;
	}
	return 0;
}

static void chunk_grow(struct conn_tx *tx, size_t len)
{
	if (len < tx->chunk || ++tx->run < CHUNK_RUN)
		return;
	tx->run = 0;
	tx->chunk = tx->chunk * 2 < CHUNK_MAX ? tx->chunk * 2 : CHUNK_MAX;
}

/* Seals one frame. The last byte of an urgent write has one of its own, which says so: 8548-3.7,
 * and for a program behind a proxy, which will have it as such. */
static ssize_t seal_frame(struct conn *c, int fd, struct bytes *from, size_t max, bool urgent)
{
	struct conn_tx *tx = &c->tx;
	bool last = urgent && from->left == 1;
	size_t head = last ? TCPCRYPT_FRAME_HEADROOM_URGENT : TCPCRYPT_FRAME_HEADROOM, frame;
	const uint8_t *lent = NULL;
	ssize_t n;
	int r;

	if (urgent && !last && max >= from->left)
		max = from->left - 1;
	if (max > from->left)
		max = from->left;
	if (max >= LENT_MIN)
		lent = bytes_lent(from, max);
	n = lent ? (ssize_t)max : bytes_take(from, tx->buffer + tx->end + head, max);
	if (n <= 0)
		return n;
	r = tcpcrypt_session_send_from(c->session, tx->buffer + tx->end, lent, n,
				       last ? TCPCRYPT_TX_URGENT : 0, 0, &frame);
	if (r)
		return conn_fail_for(c, fd, r);
	tx->end += frame;
	return n;
}

/* Seals as much as the buffer has room for. Bytes taken, 0 at the end, or an error. */
static ssize_t seal(struct conn *c, int fd, struct bytes *from, bool urgent)
{
	struct conn_tx *tx = &c->tx;
	ssize_t done = 0;

	if (buffer_get(c, fd, &tx->buffer))
		return -ECONNRESET;
	if (!tx->chunk || from->left < CHUNK_FIRST) {
		tx->chunk = CHUNK_FIRST;
		tx->run = 0;
	}
	while (from->left && tx->end + FRAME_OVERHEAD < DATA_ROOM) {
		size_t room = DATA_ROOM - tx->end - FRAME_OVERHEAD;
		ssize_t n = seal_frame(c, fd, from, room < tx->chunk ? room : tx->chunk, urgent);

		if (n == -ECONNRESET)
			return n;
		if (n <= 0)
			return done ? done : n;
		done += n;
		chunk_grow(tx, n);
	}
	return done;
}

/* Keys are there: what was written before them goes first. */
static int unqueue(struct conn *c, int fd)
{
	struct conn_tx *tx = &c->tx;
	const struct iovec queue = { tx->queue, tx->urgent ? tx->urgent : tx->queued };
	struct bytes from = bytes_of(&queue, 1);
	ssize_t n = seal(c, fd, &from, tx->urgent);

	if (n < 0)
		return n;
	tx->queued -= n;
	memmove(tx->queue, tx->queue + n, tx->queued);
	tx->urgent -= tx->urgent ? n : 0;
	if (!tx->queued)
		arena_buffer_drop(c->keys.arena, &tx->queue);
	return 0;
}

/*
 * Who was refused for a full queue waits for EPOLLOUT, perhaps for its edge. The kernel may have
 * had room all the time, and see none: setting this option, to what it is, makes it look. When it
 * has no room, poll() makes it remember to tell.
 */
static void tell_room(struct conn *c, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	int low;
	socklen_t len = sizeof(low);

	c->tx.full = false;
	if (next()->poll(&p, 1, 0) == 1 &&
	    !next()->getsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, &len))
		next()->setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &low, len);
}

int tx_flush(struct conn *c, int fd, int flags)
{
	int r;

	if ((c->phase != CONN_EXPECT_KEYS && c->phase != CONN_OPEN) || c->tx_broken)
		return 0;
	do {
		r = say(c, fd);
		if (!r || r == -EAGAIN)
			r = push(c, fd, flags);
		if (!r && c->phase == CONN_OPEN && c->tx.queued)
			r = unqueue(c, fd);
		/* What found no room behind the rest has it now. */
	} while (!r && (c->tx.start < c->tx.end || tcpcrypt_session_has_output(c->session)));
	if (!r && c->tx.full && c->phase == CONN_OPEN)
		tell_room(c, fd);
	return r;
}

/* Before there are keys. What finds no place must wait for them. */
static ssize_t enqueue(struct conn *c, int fd, struct bytes *from, bool urgent)
{
	struct conn_tx *tx = &c->tx;
	ssize_t n;

	if (buffer_get(c, fd, &tx->queue))
		return -ECONNRESET;
	if (tx->queued == ARENA_BUFFER_SIZE)
		return -EAGAIN;
	n = bytes_take(from, tx->queue + tx->queued, ARENA_BUFFER_SIZE - tx->queued);
	if (n > 0)
		tx->queued += n;
	if (n > 0 && urgent && !from->left)
		tx->urgent = tx->queued;
	/* Taken in part is as good as refused. */
	tx->full = tx->queued == ARENA_BUFFER_SIZE;
	return n;
}

/* Whose bytes are there at once: for a pipe's one may have to wait. */
static bool is_file(const struct bytes *from)
{
	return from->file >= 0 && !from->pipe;
}

/* What follows on what. Returns whether to wait for what will follow on this. */
static bool pairs_learn(struct conn *c, const struct bytes *from, int flags)
{
	struct conn_tx *tx = &c->tx;
	uint64_t now;

	if (!is_file(from)) {
		if (tx->brief)
			tx->pairs = 0;
		tx->brief = from->file < 0 && from->left < CHUNK_FIRST && !flags;
		tx->quick &= tx->pairs >= PAIRS;
		return tx->brief && tx->quick && c->timer && c->timer == lives_own();
	}
	if (tx->brief && tx->pairs < PAIRS)
		tx->pairs++;
	tx->brief = false;
	if (tx->pairs < PAIRS)
		return false;
	now = now_ms();
	tx->quick = now - tx->pair_ms <= PAIRS_MS;
	tx->pair_ms = now;
	return false;
}

ssize_t tx_write(struct conn *c, int fd, struct bytes *from, int flags)
{
	ssize_t done = 0, n;
	bool hold, held;
	int r;

	if (c->fin_wanted || c->fin_sealed)
		return -EPIPE;
	conn_used();
	if (c->phase == CONN_EXPECT_KEYS)
		return enqueue(c, fd, from, flags & MSG_OOB);
	hold = pairs_learn(c, from, flags);
	held = c->tx.held && is_file(from);
	for (;;) {
		r = held ? 0 : tx_flush(c, fd, flags & MSG_MORE);
		held = false;
		if (r || !from->left)
			break;
		n = seal(c, fd, from, flags & MSG_OOB);
		if (n <= 0) {
			r = n;
			break;
		}
		done += n;
		if (hold && !from->left) {
			c->tx.held = true;
			return done;
		}
	}
	/* The file had nothing. */
	if (c->tx.held)
		tx_flush(c, fd, 0);
	/* Of a connection that is gone nothing was taken. */
	return done && c->phase != CONN_FAILED && !c->tx_broken ? done : r;
}

int tx_finish(struct conn *c, int fd, bool closing)
{
	size_t frame;
	int r;

	c->fin_wanted = true;
	if (c->phase == CONN_EXPECT_KEYS)
		return -EAGAIN;
	if (c->phase != CONN_OPEN || c->tx_broken)
		return 0;
	if (c->tx.queued && tx_flush(c, fd, 0))
		return -EAGAIN;
	if (!c->fin_sealed) {
		r = say(c, fd);
		/* No room behind what waits: nobody else sends that, so it goes now. */
		if (r == -EAGAIN || c->tx.end + FRAME_OVERHEAD > ARENA_BUFFER_SIZE)
			r = tx_flush(c, fd, 0);
		if (r)
			return r;
		if (buffer_get(c, fd, &c->tx.buffer))
			return -ECONNRESET;
		r = tcpcrypt_session_send(c->session, c->tx.buffer + c->tx.end, 0, TCPCRYPT_TX_FIN,
					  0, &frame);
		if (r)
			return conn_fail_for(c, fd, r);
		c->tx.end += frame;
		c->fin_sealed = true;
	}
	/* TCP's FIN follows at once, and goes in the same segment. */
	r = tx_flush(c, fd, c->fin_shut ? 0 : MSG_MORE);
	if (!r && !closing && !c->fin_shut) {
		c->fin_shut = true;
		next()->shutdown(fd, SHUT_WR);
	}
	return r;
}
