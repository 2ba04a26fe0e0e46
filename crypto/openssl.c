/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>

#include "crypto/openssl.h"

static int random_bytes(uint8_t *out, size_t len)
{
	/* 8548-8-4: libcrypto's generator, seeded and reseeded from the kernel's, fork-safe. */
	if (RAND_bytes_ex(NULL, out, len, 256) == 1)
		return 0;
	ERR_clear_error();
	return TCPCRYPT_E_RANDOM;
}

static const struct tcpcrypt_crypto table = {
	.random = random_bytes,
	.hmac = openssl_hmac,
	.keypair_new = openssl_keypair_new,
	.public_key = openssl_public_key,
	.agree = openssl_agree,
	.keypair_free = openssl_keypair_free,
	.aead_new = openssl_aead_new,
	.aead_set_key = openssl_aead_set_key,
	.aead_seal = openssl_aead_seal,
	.aead_open = openssl_aead_open,
	.aead_free = openssl_aead_free,
};

static const struct tcpcrypt_crypto *usable;

static void fetch_everything(void)
{
	/* 8548-8-5, 8547-10-4: without randomness there is no table, hence no ENO. */
	if (RAND_status() == 1 && openssl_hash_fetch() == 0 && openssl_aead_fetch() == 0 &&
	    openssl_kex_fetch() == 0)
		usable = &table;
	ERR_clear_error();
}

const struct tcpcrypt_crypto *tcpcrypt_crypto_openssl(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, fetch_everything);
	return usable;
}
