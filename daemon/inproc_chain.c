// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_chain.h"

#include <string.h>

/* As in daemon/chain.c: so many beyond the highest that was used are there; with so many passed over
 * the chain ends (8548-3.5-20); after so many misses in a row the other end has forgotten it. */
#define WINDOW_FULL 64
#define PASSED_MAX  64
#define MISSES_MAX  4

/* After so long a handshake has come to nothing, or nobody will read what was agreed on. */
#define TAKEN_SECONDS 256

/* The daemon is told of the first ones and of every sixteenth then. */
#define TELL_FIRST WINDOW_STEP
#define TELL_EVERY 16

static uint32_t number_of(const struct inproc_cache *c, const struct secret *s)
{
	return s - c->secrets;
}

/* ---- secrets ---- */

static struct secret *secret_new(struct inproc_cache *c)
{
	struct secret *s = TAILQ_FIRST(&c->free_secrets);

	if (s)
		TAILQ_REMOVE(&c->free_secrets, s, entry);
	else if (c->secrets_touched < SHARED_SECRETS_MAX)
		s = &c->secrets[c->secrets_touched++];
	return s;
}

static void secret_free(struct inproc_cache *c, struct secret *s)
{
	if (s->chain)
		TAILQ_REMOVE(&s->chain->secrets, s, entry);
	memset(s, 0, sizeof(*s));
	TAILQ_INSERT_HEAD(&c->free_secrets, s, entry);
}

static const struct shared_half *half_of(const struct secret *s)
{
	return s->half.tep ? &s->half : NULL;
}

static void secret_end(struct inproc_cache *c, struct secret *s)
{
	vault_end(c->vault, number_of(c, s), half_of(s));
	secret_free(c, s);
}

/* What became of the secret; those of a passive opener's claims are hashes as well. */
static uint64_t fate_of(const struct inproc_cache *c, const struct secret *s, uint32_t *ret_since)
{
	uint64_t state = vault_state(c->vault, number_of(c, s), ret_since);

	return state & SHARED_CLAIMED ? SHARED_CLAIMED : state & ~SHARED_TOKEN_MAX;
}

/* ---- rings ---- */

static struct ring *ring_find(const struct inproc_cache *c, const struct shared_offers_key *key)
{
	struct ring *r;

	LIST_FOREACH(r, &c->used_rings, entry)
	if (!memcmp(&r->key, key, sizeof(*key)))
		return r;
	return NULL;
}

static struct ring *ring_new(struct inproc_cache *c, const struct shared_offers_key *key)
{
	struct ring *r = LIST_FIRST(&c->free_rings);

	if (!r || vault_ring_open(c->vault, r->number, key))
		return NULL;
	r->key = *key;
	LIST_REMOVE(r, entry);
	LIST_INSERT_HEAD(&c->used_rings, r, entry);
	return r;
}

static void ring_put(struct inproc_cache *c, struct ring *r)
{
	if (r->n_chains)
		return;
	vault_ring_close(c->vault, r->number, &r->key);
	LIST_REMOVE(r, entry);
	LIST_INSERT_HEAD(&c->free_rings, r, entry);
}

/* Offers what the ring has room for. */
static void chain_offer(struct inproc_cache *c, struct inproc_chain *chain)
{
	struct secret *s;

	if (!chain->ring)
		return;
	TAILQ_FOREACH (s, &chain->secrets, entry) {
		if (s->offered)
			continue;
		if (!vault_offer(c->vault, chain->ring->number, number_of(c, s)))
			break;
		s->offered = true;
	}
}

/* A chain has left the ring: what is not there any more must not be in the way. */
static void ring_refill(struct inproc_cache *c, struct ring *r)
{
	struct inproc_chain *chain;
	struct secret *s;

	vault_ring_clear(c->vault, r->number);
	TAILQ_FOREACH_REVERSE(chain, &c->by_use, inproc_chain_list, entry)
	{
		if (chain->ring != r)
			continue;
		TAILQ_FOREACH (s, &chain->secrets, entry) {
			uint32_t since;

			if (!fate_of(c, s, &since))
				s->offered = false;
		}
		chain_offer(c, chain);
	}
}

/* ---- chains ---- */

void inproc_chain_forget(struct inproc_cache *c, struct inproc_chain *chain)
{
	struct ring *r = chain->ring;
	struct secret *s, *next;

	for (s = TAILQ_FIRST(&chain->secrets); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		if (vault_take(c->vault, number_of(c, s), s->token, half_of(s))) {
			secret_free(c, s);
			continue;
		}
		/* A connection has it: see inproc_orphans_look(). */
		TAILQ_REMOVE(&chain->secrets, s, entry);
		s->chain = NULL;
	}
	TAILQ_REMOVE(&c->by_use, chain, entry);
	explicit_bzero(chain, sizeof(*chain));
	TAILQ_INSERT_HEAD(&c->free_chains, chain, entry);
	c->n_chains--;
	if (!r)
		return;
	r->n_chains--;
	if (r->n_chains)
		ring_refill(c, r);
	else
		ring_put(c, r);
}

/* Who makes room for a user's: never this one (NULL: any may), and, if it is a ring that is needed,
 * one of those that have one. NULL: there is none. */
static struct inproc_chain *victim_for(struct inproc_cache *c, uint32_t uid,
				       const struct inproc_chain *except, bool for_ring)
{
	struct inproc_chain *chain, *own = NULL, *others = NULL;
	size_t n = 0, all = 0;

	TAILQ_FOREACH (chain, &c->by_use, entry) {
		if (for_ring && !chain->ring)
			continue;
		all++;
		n += chain->uid == uid;
		if (chain == except)
			continue;
		if (chain->uid == uid)
			own = own ? own : chain;
		others = others ? others : chain;
	}
	return own && 2 * n >= all ? own : others;
}

static bool secrets_provide(struct inproc_cache *c, const struct inproc_chain *chain,
			    struct secret *ret[static WINDOW_STEP])
{
	for (size_t i = 0; i < WINDOW_STEP; i++) {
		while (!(ret[i] = secret_new(c))) {
			struct inproc_chain *victim = victim_for(c, chain->uid, chain, false);

			if (!victim)
				break;
			inproc_chain_forget(c, victim);
		}
		if (ret[i])
			continue;
		while (i--)
			secret_free(c, ret[i]);
		return false;
	}
	return true;
}

static struct shared_half theirs(const struct tcpcrypt_next_secret *s)
{
	bool was_a = s->original_role == TCPCRYPT_ROLE_A;
	struct shared_half half = { .tep = s->tep };

	memcpy(half.bytes, s->identifier + (was_a ? SHARED_HALF_LEN : 0), sizeof(half.bytes));
	return half;
}

static bool is_told(uint64_t index)
{
	return index <= TELL_FIRST || index % TELL_EVERY == 0;
}

/* The secrets from here on; the last of them becomes the frontier, which stays with us. */
static int chain_extend(struct inproc_cache *c, struct inproc_chain *chain,
			const struct tcpcrypt_next_secret secrets[static WINDOW_STEP + 1])
{
	struct shared_secret entries[WINDOW_STEP] = {};
	struct shared_half halves[WINDOW_STEP];
	struct secret *taken[WINDOW_STEP];
	uint32_t slots[WINDOW_STEP];
	uint8_t nonces[WINDOW_STEP][SHARED_NONCE_MAX];
	int error;

	/* 8548-3.5-2: random, and each for one SYN or its answer. */
	if (c->crypto->random(nonces[0], sizeof(nonces)) || !secrets_provide(c, chain, taken))
		return -1;
	for (size_t i = 0; i < WINDOW_STEP; i++) {
		const struct tcpcrypt_next_secret *from = &secrets[i];

		taken[i]->token = ++c->last_token;
		taken[i]->index = chain->next + i;
		slots[i] = number_of(c, taken[i]);
		halves[i] = theirs(from);
		entries[i].token = taken[i]->token;
		entries[i].chain = chain->id;
		entries[i].uid = chain->uid;
		entries[i].aead = from->aead;
		entries[i].tep = from->tep;
		entries[i].original_role = from->original_role;
		entries[i].tell = is_told(taken[i]->index);
		memcpy(entries[i].nonce, nonces[i], sizeof(entries[i].nonce));
		memcpy(entries[i].identifier, from->identifier, sizeof(entries[i].identifier));
		memcpy(entries[i].secret, from->secret, sizeof(entries[i].secret));
	}
	error = vault_put(c->vault, slots, entries, WINDOW_STEP, chain->ring ? NULL : halves);
	explicit_bzero(entries, sizeof(entries));
	for (size_t i = 0; i < WINDOW_STEP; i++) {
		if (error) {
			secret_free(c, taken[i]);
			continue;
		}
		if (!chain->ring)
			taken[i]->half = halves[i];
		taken[i]->chain = chain;
		TAILQ_INSERT_TAIL(&chain->secrets, taken[i], entry);
	}
	if (error)
		return error;
	chain->n_ready += WINDOW_STEP;
	chain->next += WINDOW_STEP;
	chain->frontier = secrets[WINDOW_STEP];
	chain_offer(c, chain);
	return 0;
}

static struct inproc_chain *chain_place(struct inproc_cache *c, uint32_t uid)
{
	struct inproc_chain *chain;

	while (c->n_chains >= c->max)
		inproc_chain_forget(c, victim_for(c, uid, NULL, false));
	chain = TAILQ_FIRST(&c->free_chains);
	if (!chain)
		return &c->chains[c->chains_touched++];
	TAILQ_REMOVE(&c->free_chains, chain, entry);
	return chain;
}

/* The ring for a user and an end, for which other chains may have to go; NULL: there is none. */
static struct ring *ring_get(struct inproc_cache *c, uint32_t uid,
			     const struct shared_endpoint *peer)
{
	struct shared_offers_key key = { .uid = uid, .peer = *peer };
	struct ring *r;

	key.peer.pad = 0;
	r = ring_find(c, &key);
	if (r)
		return r;
	while (LIST_EMPTY(&c->free_rings)) {
		struct inproc_chain *victim = victim_for(c, uid, NULL, true);

		if (!victim)
			return NULL;
		inproc_chain_forget(c, victim);
	}
	return ring_new(c, &key);
}

/* 8548-3.5-23: in the direction of the connection that began it, and no other. */
void inproc_chain_begin(struct inproc_cache *c, uint32_t uid, const struct shared_tuple *ends,
			bool active,
			const struct tcpcrypt_next_secret secrets[static WINDOW_STEP + 1],
			double now)
{
	struct inproc_chain *chain = chain_place(c, uid);
	struct ring *ring = active ? ring_get(c, uid, &ends->remote) : NULL;

	if (active && !ring) {
		TAILQ_INSERT_HEAD(&c->free_chains, chain, entry);
		return;
	}
	memset(chain, 0, sizeof(*chain));
	chain->id = ++c->last_id;
	chain->uid = uid;
	chain->ring = ring;
	chain->ends = *ends;
	chain->since = now;
	chain->next = 1;
	chain->window = WINDOW_STEP;
	TAILQ_INIT(&chain->secrets);
	TAILQ_INSERT_TAIL(&c->by_use, chain, entry);
	c->n_chains++;
	if (ring)
		ring->n_chains++;
	if (chain_extend(c, chain, secrets))
		inproc_chain_forget(c, chain);
}

/* Both ends follow what was used. False: the chain is gone. */
static bool chain_follow(struct inproc_cache *c, struct inproc_chain *chain)
{
	struct tcpcrypt_next_secret secrets[WINDOW_STEP + 1];
	int error = 0;

	while (!error && chain->next + WINDOW_STEP <= chain->used + chain->window + 1) {
		error = chain_derive(c->crypto, &chain->frontier, secrets);
		if (!error)
			error = chain_extend(c, chain, secrets);
	}
	explicit_bzero(secrets, sizeof(secrets));
	chain_offer(c, chain);
	if (chain->n_ready <= WINDOW_FULL + PASSED_MAX && chain->misses < MISSES_MAX &&
	    !TAILQ_EMPTY(&chain->secrets))
		return true;
	inproc_chain_forget(c, chain);
	return false;
}

static bool is_over(uint32_t since, double now)
{
	return since && now - since > TAKEN_SECONDS;
}

/* One secret of a chain, which may be gone afterwards. Its fate; 0: it is there to be used. */
static uint64_t secret_look(struct inproc_cache *c, struct inproc_chain *chain, struct secret *s,
			    double now)
{
	uint32_t since;
	uint64_t fate = fate_of(c, s, &since);

	/* A passive opener's has been named by the other end, who may go on from there. */
	if ((fate == SHARED_AGREED || (fate == SHARED_CLAIMED && !chain->ring)) &&
	    chain->used < s->index)
		chain->used = s->index;
	if (fate == SHARED_AGREED)
		chain->misses = 0;
	if (fate == SHARED_MISSED)
		chain->misses++;
	if (!fate)
		chain->n_ready++;
	else if (is_over(since, now) || (fate != SHARED_CLAIMED && fate != SHARED_AGREED) ||
		 (fate == SHARED_AGREED && !vault_holds(c->vault, number_of(c, s), s->token)))
		secret_end(c, s);
	return fate;
}

void inproc_chain_look(struct inproc_cache *c, struct inproc_chain *chain, double now)
{
	const uint64_t used_before = chain->used;
	struct secret *s, *next;
	bool used;

	chain->n_ready = 0;
	for (s = TAILQ_FIRST(&chain->secrets); s; s = next) {
		next = TAILQ_NEXT(s, entry);
		/* The next offer must be the whole one. */
		if (secret_look(c, chain, s, now) == SHARED_REFUSED) {
			inproc_chain_forget(c, chain);
			return;
		}
	}
	used = chain->used != used_before;
	if (used) {
		chain->window = WINDOW_FULL;
		TAILQ_REMOVE(&c->by_use, chain, entry);
		TAILQ_INSERT_TAIL(&c->by_use, chain, entry);
	}
	chain_follow(c, chain);
}

void inproc_orphans_look(struct inproc_cache *c, double now)
{
	for (size_t i = 0; i < c->secrets_touched; i++) {
		struct secret *s = &c->secrets[i];
		uint32_t since;

		if (s->chain || !s->token)
			continue;
		vault_state(c->vault, i, &since);
		if (is_over(since, now) || !vault_holds(c->vault, i, s->token))
			secret_end(c, s);
	}
}
