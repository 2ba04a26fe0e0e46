// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/urgent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "inproc/next.h"

static bool is_inline(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return !next()->getsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, &len) && on;
}

/* Takes the marked byte out of what was opened. */
static void take_out(struct conn *c)
{
	struct conn_rx *rx = &c->rx;
	const size_t at = c->urgent.at - rx->read;
	uint8_t *byte = rx->buffer + rx->plain_at + at;

	memmove(byte, byte + 1, rx->plain_len - at - 1);
	rx->plain_len--;
	c->urgent.out = true;
}

/* Puts it back: the frame that was opened last begins behind what was opened before. */
static void put_in(struct conn *c)
{
	struct conn_rx *rx = &c->rx;
	const size_t at = c->urgent.at - rx->read;
	uint8_t *byte = rx->buffer + rx->plain_at + at;

	memmove(byte + 1, byte, rx->plain_len - at);
	*byte = c->urgent.byte;
	rx->plain_len++;
	c->urgent.out = false;
}

/* As the kernel does: to whom F_SETOWN has named, whoever opens the frame. */
static void tell(struct conn *c, int fd)
{
	struct f_owner_ex owner;

	if (!c->urgent.owned || next()->fcntl(fd, F_GETOWN_EX, &owner) || !owner.pid)
		return;
	if (owner.type == F_OWNER_TID)
		next()->syscall(SYS_tkill, owner.pid, SIGURG);
	else
		kill(owner.type == F_OWNER_PGRP ? -owner.pid : owner.pid, SIGURG);
}

void urgent_marked(struct conn *c, int fd, uint64_t at)
{
	struct conn_urgent *u = &c->urgent;

	u->wanted = true;
	if (at < c->rx.read || (u->state != URGENT_NONE && at <= u->at))
		return;
	if (urgent_is_out(c) && urgent_is_next(c))
		c->rx.read++; /* nobody wanted it */
	else if (urgent_is_out(c))
		put_in(c);
	u->state = URGENT_EXPECTED;
	u->out = false;
	u->at = at;
	tell(c, fd);
}

void urgent_arrived(struct conn *c, int fd)
{
	struct conn_urgent *u = &c->urgent;
	const uint64_t at = u->at - c->rx.read;

	if (u->state != URGENT_EXPECTED || at >= c->rx.plain_len)
		return;
	u->state = URGENT_UNREAD;
	u->byte = c->rx.buffer[c->rx.plain_at + at];
	if (!is_inline(fd))
		take_out(c);
}

void urgent_passed(struct conn *c, bool discards)
{
	struct conn_urgent *u = &c->urgent;

	if (u->state < URGENT_UNREAD)
		return;
	if (u->out && discards && urgent_is_next(c))
		c->rx.read++;
	if (c->rx.read > u->at)
		u->state = URGENT_NONE;
}

int urgent_take(struct conn *c, int fd, bool peeks, uint8_t *ret)
{
	struct conn_urgent *u = &c->urgent;

	if (u->state == URGENT_EXPECTED && !is_inline(fd))
		return c->eof || c->rx_shut ? 0 : -EAGAIN;
	if (u->state != URGENT_UNREAD || !u->out)
		return -EINVAL;
	*ret = u->byte;
	if (!peeks)
		u->state = URGENT_READ;
	return 1;
}

void urgent_owned(struct conn *c, int fd)
{
	struct f_owner_ex owner;

	c->urgent.owned = !next()->fcntl(fd, F_GETOWN_EX, &owner) && owner.pid;
	c->urgent.wanted |= c->urgent.owned;
}
