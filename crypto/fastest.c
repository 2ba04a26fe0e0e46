// SPDX-License-Identifier: BSD-2-Clause
#include "crypto/fastest.h"

#include <pthread.h>

static struct tcpcrypt_crypto table;
static struct crypto_choice choice;

static void choose(void)
{
	const struct tcpcrypt_crypto *openssl = tcpcrypt_crypto_openssl();

	if (!openssl)
		return;
	table = *openssl;
	choice.aes_gcm = ipsecmb_use(&table);
	choice.x25519 = sodium_use(&table);
	choice.hmac = nettle_use(&table);
	choice.table = &table;
}

const struct crypto_choice *crypto_choose(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, choose);
	return &choice;
}

const struct tcpcrypt_crypto *tcpcrypt_crypto_fastest(void)
{
	return crypto_choose()->table;
}
