// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/aeads.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

#include "crypto/contexts.h"

/* What struct tcpcrypt_aead is here: a key, and where its context was last. */
struct key {
	struct contexts *set; /* of the thread that it belongs to */
	struct context_hint hint;
	uint16_t aead;
	uint64_t serial;
	uint8_t bytes[TCPCRYPT_AEAD_KEY_MAX];
};

static const struct tcpcrypt_crypto *backend;
static struct tcpcrypt_crypto table;
static __thread struct contexts *own;
static __thread uint64_t last_serial;

static struct key *key_of(struct tcpcrypt_aead *ctx)
{
	return (struct key *)(void *)ctx;
}

static struct context_user user_of(struct key *k)
{
	return (struct context_user){ &k->hint, k, k->serial, k->aead, k->bytes };
}

static int key_new(uint16_t aead, struct tcpcrypt_aead **ret)
{
	struct key *k;

	if (!own)
		return TCPCRYPT_E_STATE;
	k = calloc(1, sizeof(*k));
	if (!k)
		return TCPCRYPT_E_NOMEM;
	k->set = own;
	k->aead = aead;
	*ret = (struct tcpcrypt_aead *)(void *)k;
	return 0;
}

/* The context is made at once: the key that it had ends here. */
static int key_set(struct tcpcrypt_aead *ctx, const uint8_t *bytes)
{
	struct key *k = key_of(ctx);
	struct context_user user;
	struct context *c;
	int error;

	memcpy(k->bytes, bytes, k->aead == TCPCRYPT_AEAD_AES_128_GCM ? 16 : 32);
	k->serial = ++last_serial;
	user = user_of(k);
	error = contexts_get(k->set, backend, &user, &c);
	if (!error)
		contexts_put(c);
	return error;
}

static int key_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		    const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		    const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct key *k = key_of(ctx);
	const struct context_user user = user_of(k);

	return contexts_seal(k->set, backend, &user, nonce, aad, aad_len, data, len, text, tag);
}

static int key_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		    const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		    const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct key *k = key_of(ctx);
	const struct context_user user = user_of(k);

	return contexts_open(k->set, backend, &user, nonce, aad, aad_len, data, len, tag);
}

static void key_free(struct tcpcrypt_aead *ctx)
{
	struct key *k = key_of(ctx);

	if (!k)
		return;
	contexts_drop(k->set, backend, &k->hint, k);
	explicit_bzero(k, sizeof(*k));
	free(k);
}

const struct tcpcrypt_crypto *aeads_table(const struct tcpcrypt_crypto *given)
{
	backend = given;
	table = *given;
	table.aead_new = key_new;
	table.aead_set_key = key_set;
	table.aead_seal = key_seal;
	table.aead_open = key_open;
	table.aead_free = key_free;
	return &table;
}

int aeads_begin(void)
{
	own = calloc(1, sizeof(*own));
	return own ? 0 : -ENOMEM;
}

void aeads_end(void)
{
	if (!own)
		return;
	contexts_deinit(own, backend);
	free(own);
	own = NULL;
}
