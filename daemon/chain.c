// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/chain.h"

#include <string.h>

/* How many secrets of a chain are ready beyond the highest that was used: WINDOW_STEP as long as
 * nobody has come back, and so many more with each use, so that none waits for many, until there are
 * enough for many connections at a time. */
#define WINDOW_FULL 64
/* Who has this part of all chains there may be makes room for more with own ones. */
#define PEER_SHARE  16
/* With more that were passed over the chain ends, because none may be left out (8548-3.5-20). */
#define PASSED_MAX  64

/* ---- slots ---- */

/* There must be one: slots_provide(). */
static struct slot *slot_new(struct resumption *r)
{
	struct slot *s = TAILQ_FIRST(&r->free_slots);

	if (s)
		TAILQ_REMOVE(&r->free_slots, s, entry);
	else
		s = &r->slots[r->slots_touched++];
	r->n_slots++;
	return s;
}

/* 8548-3.5-17, 8548-3.5-22: wiped, out of its chain's lists, and free. */
static void slot_free(struct resumption *r, struct slot *s)
{
	struct chain *c = s->chain;

	if (c && s->state == SLOT_READY)
		c->n_ready--;
	if (c)
		TAILQ_REMOVE(s->state == SLOT_READY ? &c->ready : &c->taken, s, entry);
	explicit_bzero(s, sizeof(*s));
	TAILQ_INSERT_HEAD(&r->free_slots, s, entry);
	r->n_slots--;
}

/* The identifier's half that a host with this original role sends. */
static const uint8_t *half_of(const struct tcpcrypt_next_secret *s, enum tcpcrypt_role role)
{
	return s->identifier + (role == TCPCRYPT_ROLE_A ? 0 : SHARED_HALF_LEN);
}

/* 8548-3.5-24: what the other end's SYN would name the secret by. */
static struct shared_half theirs(const struct tcpcrypt_next_secret *s)
{
	bool was_a = s->original_role == TCPCRYPT_ROLE_A;
	struct shared_half half = { .tep = s->tep };

	memcpy(half.bytes, half_of(s, was_a ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A),
	       sizeof(half.bytes));
	return half;
}

/* A ready secret is taken from the BPF programs, to be proposed; or a SYN has claimed it. */
static bool slot_recall(struct resumption *r, struct slot *s)
{
	const struct shared_half half = theirs(&s->secret);
	bool ours = window_take(r->window, &half, slot_number(r, s), s->token);

	if (s->chain) {
		TAILQ_REMOVE(&s->chain->ready, s, entry);
		s->chain->n_ready--;
		TAILQ_INSERT_TAIL(&s->chain->taken, s, entry);
	}
	s->state = ours ? SLOT_PROPOSED : SLOT_CLAIMED;
	return ours;
}

void slot_end(struct resumption *r, struct slot *s)
{
	const struct shared_half half = theirs(&s->secret);

	if (s->state != SLOT_PROPOSED)
		window_end(r->window, &half, slot_number(r, s));
	slot_free(r, s);
}

struct slot *slot_of(struct resumption *r, const struct resumption_ticket *t)
{
	struct slot *s = t->slot < r->slots_touched ? &r->slots[t->slot] : NULL;

	return s && t->token && s->token == t->token ? s : NULL;
}

/* ---- chains ---- */

struct chain_list *chain_bucket(struct resumption *r, const uint8_t peer[16])
{
	uint32_t hash = 0;

	for (size_t i = 0; i < 16; i++)
		hash = hash * 31 + peer[i];
	return &r->by_peer[hash % PEER_BUCKETS];
}

bool chain_is_spent(const struct chain *c)
{
	return TAILQ_EMPTY(&c->ready) && TAILQ_EMPTY(&c->taken);
}

static void window_set(struct resumption *r, struct chain *c, uint64_t window)
{
	if (c->window > WINDOW_STEP)
		TAILQ_REMOVE(&r->wide, c, wide_entry);
	if (window > WINDOW_STEP)
		TAILQ_INSERT_TAIL(&r->wide, c, wide_entry);
	c->window = window;
}

void chain_forget(struct resumption *r, struct chain *c)
{
	struct slot *s;

	window_set(r, c, 0);
	while ((s = TAILQ_FIRST(&c->ready)))
		if (slot_recall(r, s))
			slot_free(r, s);
	while ((s = TAILQ_FIRST(&c->taken))) {
		TAILQ_REMOVE(&c->taken, s, entry);
		s->chain = NULL;
	}
	TAILQ_REMOVE(chain_bucket(r, c->peer), c, peer_entry);
	TAILQ_REMOVE(&r->by_use, c, use_entry);
	TAILQ_REMOVE(&r->by_age, c, age_entry);
	explicit_bzero(c, sizeof(*c));
	TAILQ_INSERT_HEAD(&r->free_chains, c, use_entry);
	r->n_chains--;
}

/*
 * Which chain goes when a peer's needs room, but not this one (NULL: any may): the one that was not
 * used for longest, of the peer's own if it has its share, so that nobody who never comes back pushes
 * out those of everybody else. NULL: there is none.
 */
static struct chain *victim_for(struct resumption *r, const uint8_t peer[16],
				const struct chain *except)
{
	struct chain *c, *own = NULL;
	size_t n = 0;

	TAILQ_FOREACH_REVERSE(c, chain_bucket(r, peer), chain_list, peer_entry)
	{
		if (memcmp(c->peer, peer, sizeof(c->peer)))
			continue;
		if (!own && c != except)
			own = c;
		if (++n * PEER_SHARE >= r->max)
			break;
	}
	if (own && n * PEER_SHARE >= r->max)
		return own;
	c = TAILQ_FIRST(&r->by_use);
	return c && c == except ? TAILQ_NEXT(c, use_entry) : c;
}

/* Gives back what is ready beyond the first step. It will be derived again, so only what nobody can
 * have used: the last ones without a gap (8548-3.5-21). */
static void chain_narrow(struct resumption *r, struct chain *c)
{
	struct slot *s;

	window_set(r, c, WINDOW_STEP);
	while ((s = TAILQ_LAST(&c->ready, slot_list)) && s->index + 1 == c->next &&
	       s->index > c->used + WINDOW_STEP && slot_recall(r, s)) {
		c->frontier = s->secret;
		c->next = s->index;
		slot_free(r, s);
	}
}

/* Room for the next secrets of c. For that other chains give back their wide windows, the one first that
 * was not used for longest. Only if c has none left, others have to go. */
static bool slots_provide(struct resumption *r, const struct chain *c)
{
	while (r->n_slots + WINDOW_STEP > SLOTS_MAX) {
		struct chain *wide = TAILQ_FIRST(&r->wide), *victim;

		if (wide == c)
			wide = TAILQ_NEXT(wide, wide_entry);
		if (wide) {
			chain_narrow(r, wide);
			continue;
		}
		victim = c->next > c->used + 1 ? NULL : victim_for(r, c->peer, c);
		if (!victim)
			return false;
		chain_forget(r, victim);
	}
	return true;
}

/* Makes the secrets from here on ready, for which slots_provide() has made room; the last of them becomes
 * the frontier, which is not. */
static int chain_extend(struct resumption *r, struct chain *c,
			const struct tcpcrypt_next_secret secrets[static WINDOW_STEP + 1])
{
	struct shared_resumption entries[WINDOW_STEP] = {};
	struct shared_half halves[WINDOW_STEP];
	struct slot *slots[WINDOW_STEP];
	uint8_t nonces[WINDOW_STEP][SHARED_NONCE_MAX];

	/* 8548-3.5-2: random, and each is for one SYN; the claim adds its moment. */
	if (r->crypto->random(nonces[0], sizeof(nonces)))
		return -1;
	for (size_t i = 0; i < WINDOW_STEP; i++) {
		struct slot *s = slots[i] = slot_new(r);

		s->state = SLOT_READY;
		s->token = ++r->last_token;
		s->index = c->next + i;
		s->secret = secrets[i];
		halves[i] = theirs(&s->secret);
		entries[i].token = s->token;
		entries[i].slot = slot_number(r, s);
		entries[i].uid = SHARED_UID_UNKNOWN;
		entries[i].aead = s->secret.aead;
		entries[i].tep = s->secret.tep;
		memcpy(entries[i].half, half_of(&s->secret, s->secret.original_role),
		       sizeof(entries[i].half));
		memcpy(entries[i].nonce, nonces[i], sizeof(entries[i].nonce));
	}
	if (window_add(r->window, halves, entries, WINDOW_STEP)) {
		for (size_t i = 0; i < WINDOW_STEP; i++)
			slot_free(r, slots[i]);
		return -1;
	}
	for (size_t i = 0; i < WINDOW_STEP; i++) {
		slots[i]->chain = c;
		TAILQ_INSERT_TAIL(&c->ready, slots[i], entry);
	}
	c->n_ready += WINDOW_STEP;
	c->next += WINDOW_STEP;
	c->frontier = secrets[WINDOW_STEP];
	return 0;
}

int chain_derive(const struct tcpcrypt_crypto *crypto, const struct tcpcrypt_next_secret *first,
		 struct tcpcrypt_next_secret ret[static WINDOW_STEP + 1])
{
	int error = 0;

	ret[0] = *first;
	for (size_t i = 1; i <= WINDOW_STEP && !error; i++) {
		ret[i] = ret[i - 1];
		error = tcpcrypt_session_next_secret_advance(crypto, &ret[i]);
	}
	return error;
}

int chain_first_numbers(const struct tcpcrypt_crypto *crypto, uint64_t *ret_token, uint64_t *ret_id)
{
	uint64_t random[2];
	int error = crypto->random((uint8_t *)random, sizeof(random));

	if (error)
		return error;
	/* As many as there can be are left. */
	*ret_token = random[0] % (SHARED_TOKEN_MAX / 2);
	*ret_id = random[1] / 2;
	return 0;
}

struct chain *chain_new(struct resumption *r,
			const struct tcpcrypt_next_secret secrets[static WINDOW_STEP + 1],
			const struct shared_endpoint *peer, double now)
{
	struct chain *c;

	while (r->n_chains >= r->max)
		chain_forget(r, victim_for(r, peer->addr, NULL));
	c = TAILQ_FIRST(&r->free_chains);
	if (c)
		TAILQ_REMOVE(&r->free_chains, c, use_entry);
	else
		c = &r->chains[r->chains_touched++];
	r->n_chains++;
	c->id = ++r->last_id;
	memcpy(c->peer, peer->addr, sizeof(c->peer));
	c->port = peer->port;
	c->bound = false;
	c->since = now;
	c->next = 1;
	window_set(r, c, WINDOW_STEP);
	TAILQ_INIT(&c->ready);
	TAILQ_INIT(&c->taken);
	TAILQ_INSERT_HEAD(chain_bucket(r, c->peer), c, peer_entry);
	TAILQ_INSERT_TAIL(&r->by_use, c, use_entry);
	TAILQ_INSERT_TAIL(&r->by_age, c, age_entry);
	if (slots_provide(r, c) && !chain_extend(r, c, secrets))
		return c;
	chain_forget(r, c);
	return NULL;
}

/* Makes as many ready as the window is wide and there is room for. */
static void chain_follow(struct resumption *r, struct chain *c)
{
	struct tcpcrypt_next_secret secrets[WINDOW_STEP + 1];
	int error = 0;

	while (!error && c->next + WINDOW_STEP <= c->used + c->window + 1 && slots_provide(r, c)) {
		error = chain_derive(r->crypto, &c->frontier, secrets);
		if (!error)
			error = chain_extend(r, c, secrets);
	}
	explicit_bzero(secrets, sizeof(secrets));
}

void chain_used(struct resumption *r, struct chain *c, uint64_t index, const uint8_t peer[16])
{
	if (c->used < index)
		c->used = index;
	c->misses = 0;
	/* Who was used last is proposed first and forgotten last. */
	TAILQ_REMOVE(chain_bucket(r, c->peer), c, peer_entry);
	memcpy(c->peer, peer, sizeof(c->peer));
	TAILQ_INSERT_HEAD(chain_bucket(r, c->peer), c, peer_entry);
	TAILQ_REMOVE(&r->by_use, c, use_entry);
	TAILQ_INSERT_TAIL(&r->by_use, c, use_entry);
	window_set(r, c, c->window < WINDOW_FULL ? c->window + WINDOW_STEP : WINDOW_FULL);
	chain_follow(r, c);
	if (c->n_ready > c->next - c->used + PASSED_MAX)
		chain_forget(r, c);
}

/* 8548-3.5-20: the lowest that was not used, by either end, as far as this one knows. */
struct slot *chain_lowest(struct resumption *r, struct chain *c)
{
	struct slot *s;

	while ((s = TAILQ_FIRST(&c->ready)))
		if (slot_recall(r, s))
			break;
	return s;
}
