// SPDX-License-Identifier: BSD-2-Clause
#include <endian.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "traffic.h"

#define MAGIC  0x7463707472616666ULL
#define CHUNK  65536
#define BUDGET 16 /* calls before others have their turn */

/* splitmix64: any place of the stream by itself. */
static uint64_t word_at(uint64_t seed, uint64_t index)
{
	uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static void bytes_at(uint64_t seed, uint64_t offset, uint8_t *out, size_t len)
{
	while (len) {
		uint64_t word = htole64(word_at(seed, offset / 8));
		size_t skip = offset % 8;
		size_t n = len < 8 - skip ? len : 8 - skip;

		memcpy(out, (uint8_t *)&word + skip, n);
		out += n;
		offset += n;
		len -= n;
	}
}

static uint64_t seed_of(const struct conn *c, bool from_server)
{
	return from_server ? ~c->plan.seed : c->plan.seed;
}

static void plan_write(const struct plan *p, uint8_t out[PLAN_LEN])
{
	const uint64_t words[PLAN_LEN / 8] = {
		htobe64(MAGIC),
		htobe64(p->seed),
		htobe64(p->abort_at),
		htobe64((uint64_t)p->rounds << 32 | p->flags),
		htobe64((uint64_t)p->up << 32 | p->down),
	};

	memcpy(out, words, PLAN_LEN);
}

static bool plan_read(struct plan *p, const uint8_t in[PLAN_LEN])
{
	uint64_t words[PLAN_LEN / 8];

	memcpy(words, in, PLAN_LEN);
	p->seed = be64toh(words[1]);
	p->abort_at = be64toh(words[2]);
	p->rounds = be64toh(words[3]) >> 32;
	p->flags = (uint32_t)be64toh(words[3]);
	p->up = be64toh(words[4]) >> 32;
	p->down = (uint32_t)be64toh(words[4]);
	return be64toh(words[0]) == MAGIC;
}

void conn_init(struct conn *c, int fd, const struct plan *plan)
{
	memset(c, 0, sizeof(*c));
	c->fd = fd;
	c->server = !plan;
	if (!plan)
		return;
	c->plan = *plan;
	plan_write(plan, c->header);
	c->gate = plan->flags & PLAN_GATED || plan->pause_ms ? 1 : UINT64_MAX;
}

__attribute__((format(printf, 2, 3))) static enum conn_end fail(struct conn *c, const char *format,
								...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(c->fault, sizeof(c->fault), format, args);
	va_end(args);
	return CONN_FAILED;
}

/* A plan that is open has no end yet. */
static uint64_t total(const struct conn *c, uint32_t each)
{
	return c->plan.rounds ? (uint64_t)c->plan.rounds * each : UINT64_MAX;
}

static uint64_t to_send(const struct conn *c)
{
	return total(c, c->server ? c->plan.down : c->plan.up);
}

static uint64_t to_receive(const struct conn *c)
{
	return total(c, c->server ? c->plan.up : c->plan.down);
}

static uint64_t min(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t conn_rounds(const struct conn *c)
{
	return c->plan.down ? c->received / c->plan.down : 0;
}

/* How much may have been sent by now. */
static uint64_t may_send(const struct conn *c)
{
	const struct plan *p = &c->plan;

	if (p->flags & PLAN_DUPLEX)
		return to_send(c);
	if (p->flags & PLAN_HALF_CLOSE)
		return !c->server || c->eof ? to_send(c) : 0;
	if (c->server)
		return min(to_send(c), c->received / p->up * p->down);
	return min(to_send(c), min(conn_rounds(c) + 1, c->gate) * p->up);
}

static bool aborts(const struct conn *c)
{
	return c->plan.flags & (c->server ? PLAN_SERVER_ABORT : PLAN_CLIENT_ABORT) &&
	       c->received >= c->plan.abort_at;
}

/* The other end resets: whatever else happens is wrong. */
static bool awaits_reset(const struct conn *c)
{
	return c->plan.flags & (c->server ? PLAN_CLIENT_ABORT : PLAN_SERVER_ABORT);
}

static enum conn_end broken(struct conn *c, const char *what)
{
	if (awaits_reset(c) && (errno == ECONNRESET || errno == EPIPE))
		return CONN_ABORTED;
	return fail(c, "%s after %llu sent, %llu received: %s", what, (unsigned long long)c->sent,
		    (unsigned long long)c->received, strerror(errno));
}

/* Steps return 1 when they got on, 0 when they cannot, or -1 with *ret. */

static int header_step(struct conn *c, enum conn_end *ret)
{
	ssize_t n;

	if (c->server)
		n = recv(c->fd, c->header + c->header_len, PLAN_LEN - c->header_len, 0);
	else
		n = send(c->fd, c->header + c->header_len, PLAN_LEN - c->header_len, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0)
		*ret = broken(c, "the plan");
	else if (!n)
		*ret = fail(c, "no plan came");
	if (n <= 0)
		return -1;
	c->header_len += n;
	if (c->header_len == PLAN_LEN && c->server && !plan_read(&c->plan, c->header)) {
		*ret = fail(c, "a plan that is none");
		return -1;
	}
	return 1;
}

static int receive_step(struct conn *c, enum conn_end *ret)
{
	static uint8_t got[CHUNK], expected[CHUNK];
	ssize_t n;

	if (c->eof || c->stalls)
		return 0;
	n = recv(c->fd, got, sizeof(got), 0);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0) {
		*ret = broken(c, "recv()");
		return -1;
	}
	if (!n) {
		c->eof = true;
		if (c->server && !c->plan.rounds && !(c->received % c->plan.up))
			c->plan.rounds = c->received / c->plan.up;
		if (c->received == to_receive(c) && !awaits_reset(c))
			return 1;
		*ret = fail(c, "end of file after %llu of %llu bytes",
			    (unsigned long long)c->received, (unsigned long long)to_receive(c));
		return -1;
	}
	bytes_at(seed_of(c, !c->server), c->received, expected, n);
	if (c->received + n > to_receive(c) || memcmp(got, expected, n)) {
		*ret = fail(c, "WRONG BYTES in the %zd after %llu", n,
			    (unsigned long long)c->received);
		return -1;
	}
	c->received += n;
	return 1;
}

static int send_step(struct conn *c, enum conn_end *ret)
{
	static uint8_t bytes[CHUNK];
	size_t len = min(may_send(c) - c->sent, sizeof(bytes));
	ssize_t n;

	if (!len)
		return 0;
	bytes_at(seed_of(c, c->server), c->sent, bytes, len);
	n = send(c->fd, bytes, len, MSG_NOSIGNAL);
	if (n < 0 && errno == EAGAIN)
		return 0;
	if (n < 0) {
		*ret = broken(c, "send()");
		return -1;
	}
	c->sent += n;
	return 1;
}

/* Ends its half when the plan says so: the second to end waits for the other's. */
static void end_half(struct conn *c)
{
	bool first = c->server == !!(c->plan.flags & PLAN_SERVER_ENDS);
	bool all = c->sent == to_send(c) && c->received == to_receive(c);

	if (c->plan.flags & PLAN_HALF_CLOSE && !c->server)
		all = c->sent == to_send(c);
	if (c->ended || !all || !(first || c->eof))
		return;
	c->ended = true;
	shutdown(c->fd, SHUT_WR);
}

static void pause_round(struct conn *c, double now)
{
	if (c->server || !c->plan.pause_ms || conn_rounds(c) < c->gate)
		return;
	if (!c->wake) {
		c->wake = now + c->plan.pause_ms / 1e3;
	} else if (now >= c->wake) {
		c->wake = 0;
		c->gate++;
	}
}

static bool is_connected(struct conn *c, enum conn_end *ret)
{
	socklen_t len = sizeof(int);
	struct sockaddr_storage ss;
	int error = 0;

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error)
		*ret = fail(c, "connect(): %s", strerror(error));
	len = sizeof(ss);
	c->connected = !error && !getpeername(c->fd, (struct sockaddr *)&ss, &len);
	return c->connected;
}

enum conn_end conn_run(struct conn *c, double now, bool *ret_again)
{
	enum conn_end end = CONN_LIVES;
	int moved = 1;

	*ret_again = false;
	if (!c->connected && !is_connected(c, &end))
		return end;
	for (int i = 0; i < BUDGET && moved; i++) {
		int in = 0, out = 0;

		if (c->header_len < PLAN_LEN) {
			moved = header_step(c, &end);
			if (moved < 0)
				return end;
			continue;
		}
		pause_round(c, now);
		in = receive_step(c, &end);
		if (in < 0)
			return end;
		if (aborts(c))
			return CONN_ABORTED;
		out = send_step(c, &end);
		if (out < 0)
			return end;
		end_half(c);
		if (c->ended && c->eof)
			return CONN_COMPLETE;
		moved = in || out;
	}
	*ret_again = moved;
	return CONN_LIVES;
}

static uint32_t between(uint32_t low, uint32_t high)
{
	return low + (uint32_t)(drand48() * (high - low + 1));
}

static const struct {
	uint32_t rounds[2], up[2], down[2], pause_ms, flags;
} mixture[] = {
	/* short, ended by either side */
	{ { 1, 1 }, { 1, 2000 }, { 1, 20000 }, 0, 0 },
	{ { 1, 1 }, { 1, 2000 }, { 1, 20000 }, 0, PLAN_SERVER_ENDS },
	{ { 1, 1 }, { 40, 400 }, { 100, 60000 }, 0, PLAN_SERVER_ENDS },
	/* to and fro */
	{ { 20, 200 }, { 1, 200 }, { 1, 200 }, 0, 0 },
	/* HTTP with keep-alive; a session that is idle most of the time */
	{ { 3, 15 }, { 200, 1500 }, { 500, 60000 }, 300, 0 },
	{ { 10, 30 }, { 1, 80 }, { 1, 200 }, 1000, 0 },
	/* bulk, one way or both */
	{ { 1, 1 }, { 200000, 3000000 }, { 1, 100 }, 0, 0 },
	{ { 1, 1 }, { 1, 100 }, { 200000, 3000000 }, 0, 0 },
	{ { 1, 1 }, { 200000, 1000000 }, { 200000, 1000000 }, 0, PLAN_DUPLEX },
	/* an answer to what has ended */
	{ { 1, 1 }, { 1, 500000 }, { 1, 500000 }, 0, PLAN_HALF_CLOSE },
	/* cut off while the other end has more to send than the kernel takes: it must hear of it */
	{ { 1, 1 }, { 1, 100 }, { 64000000, 64000000 }, 0, PLAN_CLIENT_ABORT },
	{ { 1, 1 }, { 64000000, 64000000 }, { 1, 100 }, 0, PLAN_SERVER_ABORT },
};

void plan_random(struct plan *plan)
{
	size_t i = between(0, sizeof(mixture) / sizeof(mixture[0]) - 1);

	*plan = (struct plan){
		.seed = (uint64_t)lrand48() << 32 | (uint64_t)lrand48(),
		.abort_at = between(1, 300000),
		.rounds = between(mixture[i].rounds[0], mixture[i].rounds[1]),
		.flags = mixture[i].flags,
		.up = between(mixture[i].up[0], mixture[i].up[1]),
		.down = between(mixture[i].down[0], mixture[i].down[1]),
		.pause_ms = mixture[i].pause_ms,
	};
}
