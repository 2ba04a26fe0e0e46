// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>

#include "inproc/arena.h"
#include "inproc/negotiated.h"
#include "inproc/next.h"
#include "inproc/robust.h"
#include "inproc/section.h"
#include "inproc/stream.h"

/* In a slot, behind what is ours. */
#define SESSION_AT ((sizeof(struct conn) + 63) & ~(size_t)63)

const struct conn_observer *conn_observer;
atomic_bool conn_unknown, conn_urgent_wanted;
__thread bool conn_remembered;

const char conn_code[] = "";

struct tcpcrypt_session *conn_session(struct conn *c)
{
	return (void *)((uint8_t *)c + SESSION_AT);
}

bool conn_place(struct conn *c, struct arena *arena)
{
	const size_t head = offsetof(struct conn, phase);

	if (!c->lock_made)
		robust_lock_make(&c->lock);
	c->lock_made = true;
	c->at = c;
	c->code = conn_code;
	if (conn_lock(c))
		return false;
	memset((uint8_t *)c + head, 0, ARENA_SLOT_SIZE - head);
	c->at = c;
	c->code = conn_code;
	c->keys.arena = arena;
	c->urgent.wanted = atomic_load_explicit(&conn_urgent_wanted, memory_order_relaxed);
	conn_ref(c, lives_own());
	c->session = conn_session(c);
	conn_unlock(c);
	return true;
}

struct conn *conn_new(void)
{
	struct arena *arena = arena_own();
	struct conn *c;

	if (!arena || SESSION_AT + tcpcrypt_session_size() > ARENA_SLOT_SIZE)
		return NULL;
	c = arena_slot_get(arena);
	if (!c) {
		conn_reap();
		c = arena_slot_get(arena);
	}
	if (!c || conn_place(c, arena))
		return c;
	arena_slot_put(arena, c);
	return NULL;
}

static void tx_drop(struct conn *c)
{
	arena_buffer_drop(c->keys.arena, &c->tx.buffer);
	arena_buffer_drop(c->keys.arena, &c->tx.queue);
	memset(&c->tx, 0, sizeof(c->tx));
}

static void buffers_drop(struct conn *c)
{
	arena_buffer_drop(c->keys.arena, &c->rx.buffer);
	memset(&c->rx, 0, sizeof(c->rx));
	c->urgent.state = URGENT_NONE;
	tx_drop(c);
}

/*
 * Who had it last may have been another program. Who was killed with it: nobody knows how far he had
 * come with the streams, or with making its pointers his own.
 */
static void inherit(struct conn *c, bool killed)
{
	bool broken = killed && c->moving;

	if (!c->at) {
		conn_abandon(c);
		broken = true;
	} else if (c->at != c || c->code != conn_code) {
		conn_rebind(c);
	}
	if (!broken)
		return;
	conn_broken(c, ECONNRESET);
	c->orphaned = true;
}

int conn_lock_still(struct conn *c)
{
	bool killed;
	int error;

	section_enter();
	error = robust_lock(&c->lock);
	killed = error == EOWNERDEAD;
	if (killed)
		error = pthread_mutex_consistent(&c->lock);
	if (error) {
		section_leave();
		return -error;
	}
	keys_enter(&c->keys);
	inherit(c, killed);
	return 0;
}

int conn_lock(struct conn *c)
{
	int r = conn_lock_still(c);

	if (!r)
		c->moving = true;
	return r;
}

void conn_unlock(struct conn *c)
{
	c->moving = false;
	pthread_mutex_unlock(&c->lock);
	section_leave();
}

void conn_ended(struct conn *c)
{
	if (conn_observer && c->id)
		conn_observer->ended(c);
	c->id = 0;
}

void conn_unlock_release(struct conn *c)
{
	bool free = !c->refs && !c->holds;
	struct arena *arena = c->keys.arena;

	if (free) {
		c->moving = true;
		conn_ended(c);
		tcpcrypt_session_deinit(c->session);
		buffers_drop(c);
		c->life++;
	}
	c->moving = false;
	pthread_mutex_unlock(&c->lock);
	if (free)
		arena_slot_put(arena, c);
	section_leave();
}

/*
 * Who is killed between the two steps has a share that is too small: a slot may be lost, but
 * never given away that somebody has. The compiler has to keep their order.
 */
static void step(void)
{
	atomic_signal_fence(memory_order_seq_cst);
}

void conn_ref(struct conn *c, life whose)
{
	struct arena_share *share = arena_share(c->keys.arena, c, whose);

	c->refs++;
	step();
	if (share && share->refs < UINT8_MAX)
		share->refs++;
}

void conn_unref(struct conn *c, life whose)
{
	struct arena_share *share = arena_share(c->keys.arena, c, whose);

	if (share && share->refs)
		share->refs--;
	step();
	c->refs--;
}

void conn_hand_over(struct conn *c)
{
	struct arena_share *share = arena_share(c->keys.arena, c, lives_own());

	if (share && share->refs)
		share->refs--;
}

void conn_handed(struct conn *c)
{
	struct arena_share *share = arena_share(c->keys.arena, c, lives_own());

	if (share && share->refs < UINT8_MAX)
		share->refs++;
}

void conn_hold(struct conn *c)
{
	struct arena_share *share = arena_share(c->keys.arena, c, lives_own());

	c->holds++;
	step();
	if (share && share->holds < UINT8_MAX / 2)
		share->holds++;
}

void conn_unhold(struct conn *c)
{
	struct arena_share *share = arena_share(c->keys.arena, c, lives_own());

	if (share && share->holds)
		share->holds--;
	step();
	c->holds--;
}

bool conn_watch(struct conn *c)
{
	struct arena_share *share = arena_share(c->keys.arena, c, lives_own());

	if (share ? share->watched : c->watched)
		return false;
	if (share)
		share->watched = true;
	else
		c->watched = true;
	conn_hold(c);
	return true;
}

void conn_unwatch(struct conn *c)
{
	struct arena_share *share = arena_share(c->keys.arena, c, lives_own());

	conn_unhold(c);
	if (share)
		share->watched = false;
	else
		c->watched = false;
}

static unsigned int without(unsigned int n, unsigned int less)
{
	return n > less ? n - less : 0;
}

static void give_back(void *slot, struct arena_share *share)
{
	struct conn *c = slot;
	struct arena_share left;

	if (conn_lock_still(c))
		return;
	left = *share;
	*share = (struct arena_share){};
	c->refs = without(c->refs, left.refs);
	c->holds = without(c->holds, left.holds);
	conn_unlock_release(c);
}

void conn_reap(void)
{
	arena_reap(give_back);
}

int conn_broken(struct conn *c, int error)
{
	/* What came before FINp is lost if the program has not read it. Who wants nothing more, and has
	 * said so, is told of an end: the peer's FINp makes the kernel reset such a connection. */
	const bool shut = c->rx_shut && c->fin_shut;
	const bool ended = (c->eof && !c->rx.plain_len) || shut;

	if (c->phase == CONN_FAILED)
		return -error;
	if (!c->error)
		c->error = error;
	conn_ended(c);
	tcpcrypt_session_deinit(c->session);
	buffers_drop(c);
	c->phase = CONN_FAILED;
	if (!c->tx_broken)
		c->tx_error = shut ? 0 : error;
	/* 8548-3.7-2: who reads must not take it for the end, whatever the other direction was
	 * told already. */
	c->rx_error = ended ? 0 : error == EPIPE ? ECONNRESET : error;
	return -error;
}

int conn_tx_broken(struct conn *c, int error)
{
	if (c->phase != CONN_OPEN)
		return conn_broken(c, error);
	if (!c->error)
		c->error = error;
	conn_ended(c);
	tx_drop(c);
	c->proving = false;
	c->tx_broken = true;
	c->tx_error = c->rx_shut && c->fin_shut ? 0 : error;
	return -error;
}

/* The kernel resets what is disconnected (8547-4.6-8, 8548-3.3-5). */
static void reset(int fd)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };

	next()->connect(fd, &nowhere, sizeof(nowhere));
}

int conn_fail(struct conn *c, int fd)
{
	if (c->phase == CONN_FAILED)
		return -ECONNRESET;
	conn_broken(c, ECONNRESET);
	reset(fd);
	return -ECONNRESET;
}

void conn_reset_orphan(struct conn *c, int fd)
{
	if (c->orphaned)
		reset(fd);
	c->orphaned = false;
}

int conn_fail_for(struct conn *c, int fd, int cause)
{
	if (c->phase != CONN_FAILED)
		c->cause = cause;
	return conn_fail(c, fd);
}

bool conn_mark(int fd, int how)
{
	int saved = errno;
	bool done = !negotiated_mark(fd, how);

	errno = saved;
	return done;
}

static bool has_state(int fd, int state)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	return !next()->getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) &&
	       info.tcpi_state == state;
}

bool conn_is_closed(int fd)
{
	return has_state(fd, TCP_CLOSE);
}

bool conn_is_established(int fd)
{
	return has_state(fd, TCP_ESTABLISHED);
}

static int session_open(struct conn *c, int fd, const struct tcpcrypt_eno_result *result,
			const struct tcpcrypt_resumption *resume)
{
	uint16_t aeads[TCPCRYPT_AEADS_MAX];
	const struct tcpcrypt_session_params params = {
		.size = sizeof(params),
		.crypto = keys_crypto(),
		.role = result->role,
		.tep_byte = result->tep_byte,
		.transcript = result->transcript,
		.transcript_len = result->transcript_len,
		.aeads = aeads,
		.n_aeads = resume ? 0 : negotiated_aeads(fd, result->role, aeads),
		.rekey_bytes = c->rekey_bytes,
		.resume = resume,
	};

	return tcpcrypt_session_init(c->session, &params);
}

/* 0: with Init messages; positive: resumed, and so established. */
static int session_start(struct conn *c, int fd, const struct shared_inproc *inproc)
{
	struct tcpcrypt_resumption resume;
	struct tcpcrypt_eno_result result;
	bool resumes;
	int r;

	negotiated_decide(inproc, &result);
	/* Kernel and core must agree (8547-4.6-7, 8548-3.2-5); 8548-3.5-13: with the cached secret,
	 * or not at all. */
	if (result.reason != TCPCRYPT_ENO_OK || result.resumed != !!inproc->resumed)
		return TCPCRYPT_E_STATE;
	resumes = negotiated_resumption(inproc, &result, &resume);
	if (result.resumed && !resumes)
		return TCPCRYPT_E_STATE;
	c->fresh = inproc->offered || result.resumption_offered;
	c->no_cache = inproc->no_cache;
	c->chain = inproc->secret.chain;
	r = session_open(c, fd, &result, resumes ? &resume : NULL);
	explicit_bzero(&resume, sizeof(resume));
	return r ? r : resumes;
}

void conn_opened(struct conn *c)
{
	c->phase = CONN_OPEN;
	if (conn_observer)
		conn_observer->established(c);
}

/* More than one would hide the byte that a frame leaves with the kernel. */
static void rcvlowat_keep(struct conn *c, int fd)
{
	const int one = 1;
	socklen_t len = sizeof(c->rcvlowat);

	if (!next()->getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &c->rcvlowat, &len) && c->rcvlowat > 1)
		next()->setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one));
}

void conn_negotiated(struct conn *c, int fd)
{
	struct shared_inproc inproc;
	int r = negotiated_ask(fd, &inproc);
	/* Asked again, because the answer may have come, and a reset, just now. */
	bool ended = !r && inproc.state == ENO_SOCK_PENDING && !c->connecting && conn_is_closed(fd);

	if (ended)
		r = negotiated_ask(fd, &inproc);
	/* The kernel has not been asked to connect yet: a child asks, forked by another thread just now. */
	if ((r == -ENOENT || r == -ENODATA) && c->connecting && conn_is_closed(fd))
		return;
	conn_remembered = r == -ENODATA;
	if (r == -ENOENT || r == -ENODATA)
		c->phase = CONN_PLAIN;
	else if (r)
		conn_fail_for(c, fd, TCPCRYPT_E_NO_ENGINE);
	/* Nobody answered: the socket is what it was before connect(). */
	else if (ended && inproc.state == ENO_SOCK_PENDING && conn_mark(fd, SHARED_INPROC_OFF))
		c->phase = CONN_PLAIN;
	if (r || inproc.state == ENO_SOCK_PENDING)
		return;
	conn_begin(c, fd, &inproc);
	explicit_bzero(&inproc, sizeof(inproc));
}

void conn_begin(struct conn *c, int fd, const struct shared_inproc *inproc)
{
	int r;

	if (inproc->state == ENO_SOCK_DISABLED && conn_observer)
		conn_observer->plain(inproc, inproc->required);
	if (inproc->state == ENO_SOCK_DISABLED) {
		if (inproc->required)
			conn_fail_for(c, fd, TCPCRYPT_E_PLAIN);
		else
			c->phase = CONN_PLAIN;
		return;
	}
	c->passive = inproc->passive;
	c->orderly = inproc->orderly;
	c->ends = inproc->ends;
	c->id = arena_name(c->keys.arena) + arena_serial(c->keys.arena);
	r = session_start(c, fd, inproc);
	if (r > 0) {
		conn_opened(c);
		return;
	}
	if (r) {
		conn_fail_for(c, fd, r);
		return;
	}
	c->phase = CONN_EXPECT_KEYS;
	rcvlowat_keep(c, fd);
	/* Host A's Init1 need not wait for anything. */
	if (tx_flush(c, fd, 0) == -ECONNRESET)
		conn_fail(c, fd);
}

int conn_progress(struct conn *c, int fd)
{
	int r = 0;

	if (c->phase == CONN_FAILED)
		return 0;
	if (c->phase == CONN_EXPECT_TCP)
		conn_negotiated(c, fd);
	if (c->phase == CONN_EXPECT_TCP)
		return -EAGAIN;
	if (c->phase == CONN_EXPECT_KEYS)
		r = rx_keys(c, fd);
	if (r || c->phase != CONN_OPEN)
		return r;
	r = tx_flush(c, fd, 0);
	if (r == 0 && c->fin_wanted && !c->fin_shut)
		r = tx_finish(c, fd, false);
	return r;
}
