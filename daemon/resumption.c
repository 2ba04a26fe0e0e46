// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/resumption.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/chain.h"

/* So many misses in a row, and the other end is taken not to have the chain. */
#define MISSES_MAX 4

/* A SYN that has claimed a secret and not become a connection after so long will not: TCP repeats
 * its SYN-ACK for a minute or two. */
#define CLAIM_SECONDS 256
#define CLAIMS_LOOK   16 /* seconds between looks for them */

struct resumption *resumption_new(struct window *w, const struct tcpcrypt_crypto *crypto,
				  const struct config *config)
{
	struct resumption *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->slots = calloc(SLOTS_MAX, sizeof(*r->slots));
	r->chains = calloc(CONFIG_RESUME_MAX, sizeof(*r->chains));
	pthread_mutex_init(&r->lock, NULL);
	TAILQ_INIT(&r->free_slots);
	TAILQ_INIT(&r->free_chains);
	TAILQ_INIT(&r->by_use);
	TAILQ_INIT(&r->by_age);
	TAILQ_INIT(&r->wide);
	for (size_t i = 0; i < PEER_BUCKETS; i++)
		TAILQ_INIT(&r->by_peer[i]);
	r->window = w;
	r->crypto = crypto;
	if (!r->slots || !r->chains || chain_first_numbers(crypto, &r->last_token, &r->last_id)) {
		resumption_free(r);
		return NULL;
	}
	resumption_configure(r, config);
	return r;
}

void resumption_free(struct resumption *r)
{
	if (!r)
		return;
	resumption_flush(r);
	/* Those of connections that nobody brought to an end. */
	if (r->slots)
		explicit_bzero(r->slots, r->slots_touched * sizeof(*r->slots));
	free(r->slots);
	free(r->chains);
	pthread_mutex_destroy(&r->lock);
	free(r);
}

static bool contains(const struct resumption_wanted *wanted, uint8_t tep, uint16_t aead)
{
	bool has_tep = false, has_aead = false;

	for (size_t i = 0; i < wanted->n_teps; i++)
		has_tep |= wanted->teps[i] == tep;
	for (size_t i = 0; i < wanted->n_aeads; i++)
		has_aead |= wanted->aeads[i] == aead;
	return has_tep && has_aead;
}

/* ---- what connections do ---- */

static void name_set(const struct slot *s, struct tcpcrypt_eno_resume *ret)
{
	*ret = (struct tcpcrypt_eno_resume){
		.tep = s->secret.tep,
		.original_role = s->secret.original_role,
	};
	memcpy(ret->identifier, s->secret.identifier, sizeof(ret->identifier));
}

/* A secret of a session with peer, at the very port, or else at any for which it may do: behind
 * one address there may be several who have sessions of their own. */
static struct chain *find(struct resumption *r, const struct shared_endpoint *peer, bool same_port,
			  const struct resumption_wanted *wanted, double now, struct slot **ret,
			  const char **reason)
{
	struct chain *c;

	TAILQ_FOREACH (c, chain_bucket(r, peer->addr), peer_entry) {
		if (memcmp(c->peer, peer->addr, sizeof(c->peer)) || now - c->since >= r->seconds ||
		    !contains(wanted, c->frontier.tep, c->frontier.aead))
			continue;
		if (same_port ? c->port != peer->port : c->bound || c->port == peer->port)
			continue;
		*reason = "busy";
		*ret = chain_lowest(r, c);
		if (*ret)
			break;
	}
	return c;
}

/* At the very port, or else at any. */
static struct chain *find_any(struct resumption *r, const struct shared_endpoint *peer,
			      const struct resumption_wanted *wanted, double now, struct slot **ret,
			      const char **reason)
{
	struct chain *c = find(r, peer, true, wanted, now, ret, reason);

	return *ret ? c : find(r, peer, false, wanted, now, ret, reason);
}

const char *resumption_propose(struct resumption *r, const struct shared_endpoint *peer,
			       const struct resumption_wanted *wanted, double now,
			       struct tcpcrypt_eno_resume *ret_name,
			       struct resumption_ticket *ret_ticket,
			       struct resumption_chain *ret_chain)
{
	const char *reason = "no-session";
	struct slot *s = NULL;
	struct chain *c = NULL;

	pthread_mutex_lock(&r->lock);
	if (!r->max)
		reason = "off";
	if (window_is_flushing(r->window))
		reason = "busy";
	else
		c = find_any(r, peer, wanted, now, &s, &reason);
	if (s) {
		s->port = peer->port;
		name_set(s, ret_name);
		ret_ticket->slot = slot_number(r, s);
		ret_ticket->token = s->token;
		*ret_chain = (struct resumption_chain){ c - r->chains, c->id };
	}
	pthread_mutex_unlock(&r->lock);
	return s ? NULL : reason;
}

bool resumption_name(struct resumption *r, const struct resumption_ticket *t,
		     struct tcpcrypt_eno_resume *ret)
{
	struct slot *s;

	pthread_mutex_lock(&r->lock);
	s = slot_of(r, t);
	if (s)
		name_set(s, ret);
	pthread_mutex_unlock(&r->lock);
	return s;
}

bool resumption_take(struct resumption *r, const struct resumption_ticket *t,
		     const struct shared_endpoint *peer, struct tcpcrypt_resumption *ret,
		     struct resumption_chain *ret_chain)
{
	struct chain *c = NULL;
	uint64_t index = 0;
	struct slot *s;

	pthread_mutex_lock(&r->lock);
	s = slot_of(r, t);
	if (s) {
		c = s->chain;
		memcpy(ret->secret, s->secret.secret, sizeof(ret->secret));
		ret->original_role = s->secret.original_role;
		ret->aead = s->secret.aead;
		index = s->index;
		slot_end(r, s);
	}
	if (c) {
		*ret_chain = (struct resumption_chain){ c - r->chains, c->id };
		chain_used(r, c, index, peer->addr);
	}
	pthread_mutex_unlock(&r->lock);
	return s;
}

/* Ends a ticket that brought no session; misses: how many failures that makes. One at a port that
 * the session was not made with says nothing of the others: it is for this port only. */
static void unused(struct resumption *r, const struct resumption_ticket *t, unsigned int misses)
{
	struct chain *c;
	struct slot *s;
	bool elsewhere;

	pthread_mutex_lock(&r->lock);
	s = slot_of(r, t);
	c = s ? s->chain : NULL;
	elsewhere = c && misses && s->port != c->port;
	if (s)
		slot_end(r, s);
	if (c) {
		c->bound |= elsewhere;
		c->misses += elsewhere ? 0 : misses;
		if (c->misses >= MISSES_MAX || chain_is_spent(c))
			chain_forget(r, c);
	}
	pthread_mutex_unlock(&r->lock);
}

void resumption_miss(struct resumption *r, const struct resumption_ticket *t)
{
	unused(r, t, 1);
}

void resumption_drop(struct resumption *r, const struct resumption_ticket *t)
{
	unused(r, t, 0);
}

void resumption_store(struct resumption *r, const struct tcpcrypt_next_secret *next,
		      const struct shared_endpoint *peer, double now,
		      struct resumption_chain *ret_chain)
{
	struct tcpcrypt_next_secret secrets[WINDOW_STEP + 1];
	int error = chain_derive(r->crypto, next, secrets);
	struct chain *c;

	pthread_mutex_lock(&r->lock);
	c = !error && r->max ? chain_new(r, secrets, peer, now) : NULL;
	if (c)
		*ret_chain = (struct resumption_chain){ c - r->chains, c->id };
	pthread_mutex_unlock(&r->lock);
	explicit_bzero(secrets, sizeof(secrets));
}

/* ---- forgetting ---- */

void resumption_forget(struct resumption *r, const struct resumption_chain *c)
{
	struct chain *chain = c->id ? &r->chains[c->index] : NULL;

	pthread_mutex_lock(&r->lock);
	if (chain && chain->id == c->id)
		chain_forget(r, chain);
	pthread_mutex_unlock(&r->lock);
}

static void forget_all(struct resumption *r)
{
	struct chain *c;

	while ((c = TAILQ_FIRST(&r->by_use)))
		chain_forget(r, c);
}

void resumption_flush(struct resumption *r)
{
	pthread_mutex_lock(&r->lock);
	forget_all(r);
	pthread_mutex_unlock(&r->lock);
}

void resumption_retire(struct resumption *r)
{
	pthread_mutex_lock(&r->lock);
	r->max = 0;
	forget_all(r);
	pthread_mutex_unlock(&r->lock);
}

/* 8548-3.5-21: a secret that a SYN has claimed is not used again, whatever became of the SYN. */
static void forget_claims(struct resumption *r, double now)
{
	for (size_t i = 0; i < r->slots_touched; i++) {
		struct slot *s = &r->slots[i];
		struct chain *c = s->chain;
		uint32_t since;

		if (s->state != SLOT_READY && s->state != SLOT_CLAIMED)
			continue;
		since = window_claimed(r->window, i);
		if (!since || now - since <= CLAIM_SECONDS)
			continue;
		slot_end(r, s);
		if (c && chain_is_spent(c))
			chain_forget(r, c);
	}
}

void resumption_tick(struct resumption *r, double now)
{
	struct chain *c;

	pthread_mutex_lock(&r->lock);
	while ((c = TAILQ_FIRST(&r->by_age)) && now - c->since >= r->seconds)
		chain_forget(r, c);
	if (now - r->looked >= CLAIMS_LOOK) {
		r->looked = now;
		forget_claims(r, now);
	}
	pthread_mutex_unlock(&r->lock);
}

void resumption_configure(struct resumption *r, const struct config *config)
{
	const struct resumption_wanted allowed = {
		.teps = config->teps,
		.n_teps = config->n_teps,
		.aeads = config->aeads,
		.n_aeads = config->n_aeads,
	};
	struct chain *c, *next;

	pthread_mutex_lock(&r->lock);
	r->seconds = config->resume_seconds;
	r->max = config->resume_seconds ? config->resume_max : 0;
	for (c = TAILQ_FIRST(&r->by_use); c; c = next) {
		next = TAILQ_NEXT(c, use_entry);
		if (r->n_chains > r->max || !contains(&allowed, c->frontier.tep, c->frontier.aead))
			chain_forget(r, c);
	}
	pthread_mutex_unlock(&r->lock);
}

size_t resumption_count(struct resumption *r)
{
	size_t n;

	pthread_mutex_lock(&r->lock);
	n = r->n_chains;
	pthread_mutex_unlock(&r->lock);
	return n;
}
