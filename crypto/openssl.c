/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <sys/random.h>

#include "crypto/openssl.h"

static int random_bytes(uint8_t *out, size_t len)
{
	/* 8548-8-4, 8548-3.5-2: the kernel's generator, which knows when a virtual machine was
	 * cloned; libcrypto's state would be cloned with it. */
	while (len) {
		ssize_t n = getrandom(out, len, 0);

		if (n <= 0 && errno != EINTR)
			return TCPCRYPT_E_RANDOM;
		if (n <= 0)
			continue;
		out += n;
		len -= n;
	}
	return 0;
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
