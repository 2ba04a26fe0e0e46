// SPDX-License-Identifier: BSD-2-Clause
#include "crypto/fastest.h"

#include <nettle/hmac.h>
#include <openssl/crypto.h>

static int hash_hmac(const uint8_t *key, size_t key_len, const struct tcpcrypt_span *spans,
		     size_t n, uint8_t out[TCPCRYPT_HASH_LEN])
{
	struct hmac_sha256_ctx ctx;

	hmac_sha256_set_key(&ctx, key_len, key);
	for (size_t i = 0; i < n; i++) {
		if (spans[i].len)
			hmac_sha256_update(&ctx, spans[i].len, spans[i].data);
	}
	hmac_sha256_digest(&ctx, TCPCRYPT_HASH_LEN, out);
	OPENSSL_cleanse(&ctx, sizeof(ctx));
	return 0;
}

struct crypto_backend nettle_use(struct tcpcrypt_crypto *table)
{
	table->hmac = hash_hmac;
	return (struct crypto_backend){ "nettle", "faster than OpenSSL 3.0" };
}
