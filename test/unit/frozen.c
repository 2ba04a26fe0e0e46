/* SPDX-License-Identifier: BSD-2-Clause */
#include <string.h>

#include "crypto/openssl.h"
#include "test/unit/frozen.h"

static struct tcpcrypt_crypto table;
static const uint8_t *frozen_nonce;
static size_t frozen_len;
static unsigned int calls, failing;

static int frozen_random(uint8_t *out, size_t len)
{
	if (len != frozen_len)
		return TCPCRYPT_E_RANDOM;
	memcpy(out, frozen_nonce, len);
	return 0;
}

const struct tcpcrypt_crypto *frozen_crypto(const uint8_t *nonce, size_t len)
{
	table = *tcpcrypt_crypto_openssl();
	table.random = frozen_random;
	frozen_nonce = nonce;
	frozen_len = len;
	return &table;
}

static int fault(void)
{
	return ++calls == failing;
}

static int failing_random(uint8_t *out, size_t len)
{
	return fault() ? TCPCRYPT_E_RANDOM : tcpcrypt_crypto_openssl()->random(out, len);
}

static int failing_hmac(const uint8_t *key, size_t key_len, const struct tcpcrypt_span *spans,
			size_t n, uint8_t out[TCPCRYPT_HASH_LEN])
{
	return fault() ? TCPCRYPT_E_CRYPTO : openssl_hmac(key, key_len, spans, n, out);
}

static int failing_keypair_new(uint8_t tep, struct tcpcrypt_keypair **ret)
{
	return fault() ? TCPCRYPT_E_CRYPTO : openssl_keypair_new(tep, ret);
}

static int failing_public_key(const struct tcpcrypt_keypair *pair,
			      uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX], size_t *ret_len)
{
	return fault() ? TCPCRYPT_E_CRYPTO : openssl_public_key(pair, out, ret_len);
}

static int failing_aead_new(uint16_t aead, struct tcpcrypt_aead **ret)
{
	return fault() ? TCPCRYPT_E_NOMEM : openssl_aead_new(aead, ret);
}

static int failing_aead_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key)
{
	return fault() ? TCPCRYPT_E_CRYPTO : openssl_aead_set_key(ctx, key);
}

const struct tcpcrypt_crypto *frozen_failing(unsigned int n)
{
	table = *tcpcrypt_crypto_openssl();
	table.random = failing_random;
	table.hmac = failing_hmac;
	table.keypair_new = failing_keypair_new;
	table.public_key = failing_public_key;
	table.aead_new = failing_aead_new;
	table.aead_set_key = failing_aead_set_key;
	calls = 0;
	failing = n;
	return &table;
}

unsigned int frozen_calls(void)
{
	return calls;
}
