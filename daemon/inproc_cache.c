// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_cache.h"

#include <stdlib.h>
#include <string.h>

#include "core/resume.h"
#include "daemon/inproc_chain.h"

#define LOOK_SECONDS 16

struct inproc_cache *inproc_cache_new(struct vault *v, const struct tcpcrypt_crypto *crypto,
				      const struct config *config, double now)
{
	struct inproc_cache *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->vault = v;
	c->crypto = crypto;
	c->looked = now;
	c->secrets = calloc(SHARED_SECRETS_MAX, sizeof(*c->secrets));
	c->chains = calloc(INPROC_CHAINS_MAX, sizeof(*c->chains));
	c->rings = calloc(SHARED_OFFER_RINGS, sizeof(*c->rings));
	TAILQ_INIT(&c->free_secrets);
	TAILQ_INIT(&c->by_use);
	TAILQ_INIT(&c->free_chains);
	LIST_INIT(&c->used_rings);
	LIST_INIT(&c->free_rings);
	if (!c->secrets || !c->chains || !c->rings ||
	    chain_first_numbers(crypto, &c->last_token, &c->last_id)) {
		inproc_cache_free(c);
		return NULL;
	}
	for (size_t i = 0; i < SHARED_OFFER_RINGS; i++) {
		c->rings[i].number = i;
		LIST_INSERT_HEAD(&c->free_rings, &c->rings[i], entry);
	}
	inproc_cache_configure(c, config);
	return c;
}

void inproc_cache_free(struct inproc_cache *c)
{
	if (!c)
		return;
	inproc_cache_flush(c);
	free(c->secrets);
	free(c->chains);
	free(c->rings);
	free(c);
}

static bool allows(const struct config *config, uint8_t tep, uint16_t aead)
{
	bool has_tep = false, has_aead = false;

	for (size_t i = 0; i < config->n_teps; i++)
		has_tep |= config->teps[i] == tep;
	for (size_t i = 0; i < config->n_aeads; i++)
		has_aead |= config->aeads[i] == aead;
	return has_tep && has_aead;
}

void inproc_cache_configure(struct inproc_cache *c, const struct config *config)
{
	struct inproc_chain *chain, *next;

	c->config = config;
	c->seconds = config->resume_seconds;
	c->max = config->resume_seconds ? config->resume_max : 0;
	if (c->max > INPROC_CHAINS_MAX)
		c->max = INPROC_CHAINS_MAX;
	for (chain = TAILQ_FIRST(&c->by_use); chain; chain = next) {
		next = TAILQ_NEXT(chain, entry);
		if (c->n_chains > c->max ||
		    !allows(config, chain->frontier.tep, chain->frontier.aead))
			inproc_chain_forget(c, chain);
	}
}

void inproc_cache_store(struct inproc_cache *c, uint32_t uid, const struct shared_tuple *ends,
			bool active, struct tcpcrypt_next_secret *next, double now)
{
	struct tcpcrypt_next_secret secrets[WINDOW_STEP + 1];

	if (!unwanted_take(&c->unwanted, ends) && c->max &&
	    allows(c->config, next->tep, next->aead) &&
	    !resume_identifier(c->crypto, next->secret, next->identifier) &&
	    !chain_derive(c->crypto, next, secrets))
		inproc_chain_begin(c, uid, ends, active, secrets, now);
	explicit_bzero(secrets, sizeof(secrets));
	explicit_bzero(next, sizeof(*next));
}

void inproc_cache_forget(struct inproc_cache *c, uint32_t uid, uint64_t id)
{
	struct inproc_chain *chain;

	TAILQ_FOREACH (chain, &c->by_use, entry)
		if (chain->id == id && chain->uid == uid)
			break;
	if (chain)
		inproc_chain_forget(c, chain);
}

void inproc_cache_forget_of(struct inproc_cache *c, const struct shared_tuple *ends, uint64_t id)
{
	struct inproc_chain *chain, *next;
	bool found = id;

	for (chain = TAILQ_FIRST(&c->by_use); chain; chain = next) {
		next = TAILQ_NEXT(chain, entry);
		if (chain->id != id && !unwanted_is(&chain->ends, ends))
			continue;
		inproc_chain_forget(c, chain);
		found = true;
	}
	if (!found)
		unwanted_add(&c->unwanted, ends);
}

void inproc_cache_event(struct inproc_cache *c, uint32_t claim, double now)
{
	uint32_t slot = vault_slot(c->vault, claim);
	struct secret *s = slot < c->secrets_touched ? &c->secrets[slot] : NULL;

	if (s && s->chain)
		inproc_chain_look(c, s->chain, now);
}

void inproc_cache_tick(struct inproc_cache *c, double now)
{
	struct inproc_chain *chain, *next;
	bool look = now - c->looked >= LOOK_SECONDS;

	for (chain = TAILQ_FIRST(&c->by_use); chain; chain = next) {
		next = TAILQ_NEXT(chain, entry);
		if (now - chain->since >= c->seconds)
			inproc_chain_forget(c, chain);
		else if (look)
			inproc_chain_look(c, chain, now);
	}
	if (!look)
		return;
	c->looked = now;
	inproc_orphans_look(c, now);
}

void inproc_cache_flush(struct inproc_cache *c)
{
	while (!TAILQ_EMPTY(&c->by_use))
		inproc_chain_forget(c, TAILQ_FIRST(&c->by_use));
}

void inproc_cache_retire(struct inproc_cache *c)
{
	c->max = 0;
	inproc_cache_flush(c);
}

size_t inproc_cache_count(const struct inproc_cache *c)
{
	return c->n_chains;
}
