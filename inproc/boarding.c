// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/boarding.h"

#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "core/rebind.h"
#include "inproc/arena.h"
#include "inproc/helper.h"
#include "inproc/next.h"
#include "inproc/stream.h"
#include "inproc/table.h"
#include "inproc/vessel.h"

/* Programs with more connections than that do not fork for the sake of one of them. */
#define BEFORE_FORK_MAX 64

/* A key pair does not go along: how long the peer may take with its Init message, and how often to
 * look. */
#define KEYS_TRIES 2000
#define KEYS_MS	   5

static void *moved_by(void *at, uintptr_t moved)
{
	return at ? (void *)((uintptr_t)at + moved) : NULL;
}

void conn_rebind(struct conn *c)
{
	const uintptr_t moved = (uintptr_t)c - (uintptr_t)c->at;
	struct arena *arena = vessel_of(c);

	c->at = NULL; /* should this process be killed in here */
	c->session = conn_session(c);
	c->rx.buffer = moved_by(c->rx.buffer, moved);
	c->tx.buffer = moved_by(c->tx.buffer, moved);
	c->tx.queue = moved_by(c->tx.queue, moved);
	keys_rebind(&c->keys, arena);
	session_rebind(c->session, keys_crypto(), moved);
	/* Names of processes are others' in other programs. */
	c->timer = 0;
	c->code = conn_code;
	c->at = c;
}

void conn_abandon(struct conn *c)
{
	c->session = conn_session(c);
	explicit_bzero(c->session, tcpcrypt_session_size());
	explicit_bzero(&c->keys, sizeof(c->keys));
	memset(&c->rx, 0, sizeof(c->rx));
	memset(&c->tx, 0, sizeof(c->tx));
	keys_rebind(&c->keys, vessel_of(c));
	c->code = conn_code;
	c->at = c;
}

/* A new vessel has a buffer for each. */
static uint8_t *buffer_copy(struct arena *arena, const uint8_t *from, size_t len)
{
	uint8_t *to = from ? arena_buffer_get(arena) : NULL;

	if (to)
		memcpy(to, from, len);
	return to;
}

static size_t rx_end(const struct conn_rx *rx)
{
	const size_t opened = rx->plain_at + rx->plain_len;

	return opened > rx->end ? opened : rx->end;
}

/* What is under way goes along. */
static void buffers_copy(const struct conn *from, struct conn *to, struct arena *arena)
{
	to->rx.buffer = buffer_copy(arena, from->rx.buffer, rx_end(&from->rx));
	to->tx.buffer = buffer_copy(arena, from->tx.buffer, from->tx.end);
	to->tx.queue = buffer_copy(arena, from->tx.queue, from->tx.queued);
}

static uint32_t number_take(void)
{
	uint32_t number;

	return getrandom(&number, sizeof(number), 0) == sizeof(number) ? number : 0;
}

/* Where c was nothing is left but what its watch and its lock need. */
static void leave(struct conn *c)
{
	explicit_bzero(c->session, tcpcrypt_session_size());
	arena_buffer_put(c->keys.arena, c->rx.buffer);
	arena_buffer_put(c->keys.arena, c->tx.buffer);
	arena_buffer_put(c->keys.arena, c->tx.queue);
	memset(&c->rx, 0, sizeof(c->rx));
	memset(&c->tx, 0, sizeof(c->tx));
	c->phase = CONN_PLAIN;
	c->id = 0;
	c->reported = false;
}

/* Both locked. */
static void take_over(struct conn *c, struct conn *to, struct arena *arena)
{
	const size_t head = offsetof(struct conn, phase);
	struct arena *before = c->keys.arena;

	conn_unref(to, lives_own());
	memcpy((uint8_t *)to + head, (uint8_t *)c + head, ARENA_SLOT_SIZE - head);
	to->life = number_take();
	to->refs = to->holds = 0;
	to->watched = false;
	to->rx.buffer = to->tx.buffer = to->tx.queue = NULL;
	conn_rebind(to);
	buffers_copy(c, to, arena);
	keys_move(&c->keys, &to->keys);
	c->keys.arena = before;
	leave(c);
	table_moved(c, to);
}

/* NULL: no memory. */
static struct conn *move(struct conn *c)
{
	struct arena *arena = vessel_make();
	struct conn *to = arena ? vessel_conn(arena) : NULL;

	if (!to)
		return NULL;
	vessel_use(to);
	c->moving = true;
	if (conn_place(to, arena) && !conn_lock(to)) {
		take_over(c, to, arena);
		vessel_unuse(to);
		return to;
	}
	vessel_unuse(to);
	return NULL;
}

struct conn *boarding_find(int fd)
{
	struct conn *c;
	int error;

	for (int i = 0; i < KEYS_TRIES; i++) {
		c = table_use(fd, &error);
		if (!c)
			return NULL;
		if (c->phase == CONN_EXPECT_KEYS)
			rx_keys(c, fd);
		if (c->phase != CONN_EXPECT_KEYS || !c->keys.pair_serial) {
			/* Who is killed from here on, as others have it, does no harm. */
			c->moving = false;
			return c;
		}
		conn_unlock(c);
		next()->poll(NULL, 0, KEYS_MS);
	}
	c = table_use(fd, &error);
	if (c)
		conn_fail(c, fd);
	return c;
}

bool boarding_is_busy(const struct conn *c)
{
	return c->phase == CONN_EXPECT_KEYS || c->tx.start < c->tx.end || c->tx.queued ||
	       c->urgent.owned || (c->phase == CONN_OPEN && c->fin_wanted && !c->fin_shut);
}

struct conn *boarding_ensure(struct conn *c, int fd)
{
	struct conn *to;

	if (vessel_of(c))
		return c;
	to = c->refs == table_count(c) ? move(c) : NULL;
	if (!to)
		return NULL;
	conn_unlock_release(c);
	keys_enter(&to->keys);
	if (boarding_is_busy(to))
		helper_watch(to, fd);
	return to;
}

void boarding_before_fork(void)
{
	const int end = atomic_load(&table_end);
	int fds[BEFORE_FORK_MAX];
	size_t n = 0;

	for (int fd = 0; fd < end; fd++) {
		struct conn *c = table_get(fd);

		if (!c || vessel_of(c))
			continue;
		if (n == BEFORE_FORK_MAX)
			return;
		fds[n++] = fd;
	}
	for (size_t i = 0; i < n; i++) {
		struct conn *c = table_lock(fds[i]), *moved;

		if (!c)
			continue;
		moved = boarding_ensure(c, fds[i]);
		conn_unlock(moved ? moved : c);
	}
}
