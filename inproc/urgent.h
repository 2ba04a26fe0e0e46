/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Urgent data that the peer sends (8548-3.7), told to the program as Linux's TCP tells of its own: the
 * last byte is marked; unless SO_OOBINLINE is set it is not in the stream, and recv(MSG_OOB) has
 * it; reads stop at the mark. A mark that comes while there is one takes its place, and the
 * byte of the old one is data like any other.
 *
 * The connection is locked.
 */
#ifndef INPROC_URGENT_H
#define INPROC_URGENT_H

#include "inproc/conn.h"

/* Is the marked byte the next one? Reads that have something end here. */
static inline bool urgent_is_next(const struct conn *c)
{
	return c->urgent.state != URGENT_NONE && c->urgent.at == c->rx.read;
}

/* How many of the next len bytes can be read at once: up to the mark, or from there on. */
static inline size_t urgent_before(const struct conn *c, size_t len)
{
	const uint64_t before = c->urgent.at - c->rx.read;

	if (c->urgent.state < URGENT_UNREAD || !before || before >= len)
		return len;
	return before;
}

/* Is there a byte that the stream does not have? */
static inline bool urgent_is_out(const struct conn *c)
{
	return c->urgent.state >= URGENT_UNREAD && c->urgent.out;
}

/* The frame that comes next in the buffer, behind what was opened, says that the byte with this
 * number in the stream is marked. */
void urgent_marked(struct conn *c, int fd, uint64_t at);

/* More was opened: is it there? */
void urgent_arrived(struct conn *c, int fd);

/* The program has read so far that the mark may be behind it. discards: and what is out is gone, too. */
void urgent_passed(struct conn *c, bool discards);

/* recv(MSG_OOB): 1 with the byte, 0 when none can come, or a negative errno value. */
int urgent_take(struct conn *c, int fd, bool peeks, uint8_t *ret);

/* Somebody is told by SIGURG, perhaps. */
void urgent_owned(struct conn *c, int fd);

#endif
