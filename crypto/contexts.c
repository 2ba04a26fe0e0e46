// SPDX-License-Identifier: BSD-2-Clause
#include "crypto/contexts.h"

#include <sched.h>
#include <stddef.h>

static bool try(struct context *c)
{
	return !atomic_exchange_explicit(&c->busy, true, memory_order_acquire);
}

void contexts_put(struct context *c)
{
	atomic_store_explicit(&c->busy, false, memory_order_release);
}

struct tcpcrypt_aead *context_aead(struct context *c)
{
	return c->ctx;
}

/* Busy, or NULL: it never had one, or others needed the place. */
static struct context *find(struct contexts *set, const struct context_hint *hint,
			    const void *owner)
{
	struct context *c = hint->place ? &set->places[hint->place - 1] : NULL;

	if (!c || !try(c))
		return NULL;
	if (c->owner == owner)
		return c;
	contexts_put(c);
	return NULL;
}

/* Busy: one that nobody has, or has used for the time of a round. */
static struct context *take(struct contexts *set, struct context_hint *hint, const void *owner)
{
	for (unsigned int i = 1;; i++) {
		unsigned int at = atomic_fetch_add(&set->hand, 1) % CONTEXTS;
		struct context *c = &set->places[at];

		if (i % CONTEXTS == 0)
			sched_yield();
		if (!try(c))
			continue;
		if (c->owner && c->used) {
			c->used = false;
			contexts_put(c);
			continue;
		}
		c->owner = owner;
		c->serial = 0;
		hint->place = at + 1;
		return c;
	}
}

/* Without memory for another kind of context the old one stays. */
static int load(const struct tcpcrypt_crypto *backend, struct context *c, uint16_t aead,
		const uint8_t *key)
{
	struct tcpcrypt_aead *made;
	int r;

	c->serial = 0;
	if (!c->ctx || c->aead != aead) {
		r = backend->aead_new(aead, &made);
		if (r)
			return r;
		backend->aead_free(c->ctx);
		c->ctx = made;
		c->aead = aead;
	}
	return backend->aead_set_key(c->ctx, key);
}

/* Busy: whoever has it, one that takes no memory for such a key. NULL: there is none, or they are busy. */
static struct context *take_made(struct contexts *set, struct context_hint *hint, const void *owner,
				 uint16_t aead)
{
	for (unsigned int i = 0; i < CONTEXTS; i++) {
		struct context *c = &set->places[i];

		if (!try(c))
			continue;
		if (c->ctx && c->aead == aead) {
			c->owner = owner;
			c->serial = 0;
			hint->place = i + 1;
			return c;
		}
		contexts_put(c);
	}
	return NULL;
}

int contexts_get(struct contexts *set, const struct tcpcrypt_crypto *backend,
		 const struct context_user *user, struct context **ret)
{
	struct context *c = find(set, user->hint, user->owner);
	int r = 0;

	if (!c)
		c = take(set, user->hint, user->owner);
	if (c->serial != user->serial)
		r = load(backend, c, user->aead, user->key);
	/* A connection that lives goes on without memory. */
	if (r) {
		c->owner = NULL;
		contexts_put(c);
		c = take_made(set, user->hint, user->owner, user->aead);
		if (!c)
			return r;
		r = load(backend, c, user->aead, user->key);
	}
	c->serial = r ? 0 : user->serial;
	c->used = true;
	if (r)
		contexts_put(c);
	else
		*ret = c;
	return r;
}

int contexts_seal(struct contexts *set, const struct tcpcrypt_crypto *backend,
		  const struct context_user *user, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		  const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		  const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct context *c;
	int r = contexts_get(set, backend, user, &c);

	if (r)
		return r;
	r = backend->aead_seal(c->ctx, nonce, aad, aad_len, data, len, text, tag);
	contexts_put(c);
	return r;
}

int contexts_open(struct contexts *set, const struct tcpcrypt_crypto *backend,
		  const struct context_user *user, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		  const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		  const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct context *c;
	int r = contexts_get(set, backend, user, &c);

	if (r)
		return r;
	r = backend->aead_open(c->ctx, nonce, aad, aad_len, data, len, tag);
	contexts_put(c);
	return r;
}

void contexts_drop(struct contexts *set, const struct tcpcrypt_crypto *backend,
		   struct context_hint *hint, const void *owner)
{
	static const uint8_t none[TCPCRYPT_AEAD_KEY_MAX];
	struct context *c = find(set, hint, owner);

	hint->place = 0;
	if (!c)
		return;
	/* For the next connection; the key in it ends here, under another one. */
	if (c->ctx && backend->aead_set_key(c->ctx, none)) {
		backend->aead_free(c->ctx);
		c->ctx = NULL;
	}
	c->owner = NULL;
	c->serial = 0;
	contexts_put(c);
}

void contexts_forked(struct contexts *set)
{
	for (size_t i = 0; i < CONTEXTS; i++) {
		/* Half loaded, perhaps. */
		if (!try(&set->places[i]))
			set->places[i].serial = 0;
		contexts_put(&set->places[i]);
	}
}

void contexts_deinit(struct contexts *set, const struct tcpcrypt_crypto *backend)
{
	for (size_t i = 0; i < CONTEXTS; i++) {
		backend->aead_free(set->places[i].ctx);
		set->places[i].ctx = NULL;
	}
}
