// SPDX-License-Identifier: BSD-2-Clause
#include "crypto/fastest.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

#include "crypto/x25519_base.h"

#define KEY_LEN X25519_LEN

/* What struct tcpcrypt_keypair is in this backend. */
struct sodium_pair {
	uint8_t private[KEY_LEN], public[KEY_LEN];
	/* Of a TEP that is not X25519; the rest is unused then. */
	struct tcpcrypt_keypair *other;
};

static struct tcpcrypt_crypto others; /* constant after the start */

static struct sodium_pair *pair_of(struct tcpcrypt_keypair *pair)
{
	return (struct sodium_pair *)(void *)pair;
}

static const struct sodium_pair *const_pair_of(const struct tcpcrypt_keypair *pair)
{
	return (const struct sodium_pair *)(const void *)pair;
}

static void pair_free(struct tcpcrypt_keypair *pair)
{
	struct sodium_pair *p = pair_of(pair);

	if (!p)
		return;
	others.keypair_free(p->other);
	sodium_memzero(p, sizeof(*p));
	free(p);
}

static int finish(struct sodium_pair *p, int error, struct tcpcrypt_keypair **ret)
{
	struct tcpcrypt_keypair *pair = (struct tcpcrypt_keypair *)(void *)p;

	if (error)
		pair_free(pair);
	else
		*ret = pair;
	return error;
}

static int make_public(struct sodium_pair *p)
{
	return x25519_base(p->public, p->private);
}

static int pair_new(uint8_t tep, struct tcpcrypt_keypair **ret)
{
	struct sodium_pair *p = calloc(1, sizeof(*p));
	int r;

	if (!p)
		return TCPCRYPT_E_NOMEM;
	if (tep != TCPCRYPT_TEP_X25519)
		return finish(p, others.keypair_new(tep, &p->other), ret);
	/* 8548-8-4: from the same generator as everything else. */
	r = others.random(p->private, sizeof(p->private));
	return finish(p, r < 0 ? r : make_public(p), ret);
}

int sodium_keypair_from_private(const uint8_t key[KEY_LEN], struct tcpcrypt_keypair **ret)
{
	struct sodium_pair *p = calloc(1, sizeof(*p));

	if (!p)
		return TCPCRYPT_E_NOMEM;
	memcpy(p->private, key, sizeof(p->private));
	return finish(p, make_public(p), ret);
}

static int public_key(const struct tcpcrypt_keypair *pair, uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX],
		      size_t *ret_len)
{
	const struct sodium_pair *p = const_pair_of(pair);

	if (p->other)
		return others.public_key(p->other, out, ret_len);
	memcpy(out, p->public, KEY_LEN);
	*ret_len = KEY_LEN;
	return 0;
}

static int agree(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t peer_len,
		 uint8_t out[TCPCRYPT_SHARED_SECRET_MAX], size_t *ret_len)
{
	const struct sodium_pair *p = const_pair_of(pair);

	if (p->other)
		return others.agree(p->other, peer, peer_len, out, ret_len);
	/* 8548-5-5, 8548-5-6: libsodium refuses points of small order, of which zero would come;
	 * this does not rely on it. */
	if (peer_len != KEY_LEN || crypto_scalarmult_curve25519(out, p->private, peer) ||
	    sodium_is_zero(out, KEY_LEN))
		return TCPCRYPT_E_BAD_KEY;
	*ret_len = KEY_LEN;
	return 0;
}

struct crypto_backend sodium_use(struct tcpcrypt_crypto *table)
{
	if (sodium_init() < 0)
		return (struct crypto_backend){ "OpenSSL", "libsodium failed to start" };
	others = *table;
	table->keypair_new = pair_new;
	table->public_key = public_key;
	table->agree = agree;
	table->keypair_free = pair_free;
	return (struct crypto_backend){ "libsodium", "faster than OpenSSL 3.0" };
}
