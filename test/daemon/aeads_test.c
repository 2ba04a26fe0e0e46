// SPDX-License-Identifier: BSD-2-Clause
/* A worker's AEAD: whoever's turn it is, each has the key it was given last, and no other. */
#include "daemon/aeads.h"
#include "test/unit/unit.h"

#include <pthread.h>
#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

#include "crypto/contexts.h"

#define KEYS	 (3 * CONTEXTS)
#define TEXT	 "sixteen letters."
#define TEXT_LEN 16

struct sealed {
	uint8_t text[TEXT_LEN], tag[TCPCRYPT_AEAD_TAG_LEN];
};

static const struct tcpcrypt_crypto *table;
static const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN];

static uint16_t kind(unsigned int number)
{
	return number % 3 ? TCPCRYPT_AEAD_AES_128_GCM : TCPCRYPT_AEAD_CHACHA20_POLY1305;
}

static void key_make(unsigned int number, uint8_t out[TCPCRYPT_AEAD_KEY_MAX])
{
	memset(out, 0, TCPCRYPT_AEAD_KEY_MAX);
	memcpy(out, &number, sizeof(number));
}

static struct sealed seal(const struct tcpcrypt_crypto *crypto, struct tcpcrypt_aead *ctx)
{
	struct sealed s;

	memcpy(s.text, TEXT, TEXT_LEN);
	assert_int_equal(crypto->aead_seal(ctx, nonce, nonce, 1, s.text, TEXT_LEN, NULL, s.tag), 0);
	return s;
}

/* What a context of its own says. */
static struct sealed expected(uint16_t aead, unsigned int number)
{
	const struct tcpcrypt_crypto *plain = tcpcrypt_crypto_openssl();
	uint8_t key[TCPCRYPT_AEAD_KEY_MAX];
	struct tcpcrypt_aead *ctx;
	struct sealed s;

	key_make(number, key);
	assert_int_equal(plain->aead_new(aead, &ctx), 0);
	assert_int_equal(plain->aead_set_key(ctx, key), 0);
	s = seal(plain, ctx);
	plain->aead_free(ctx);
	return s;
}

static void expect(struct tcpcrypt_aead *ctx, uint16_t aead, unsigned int number)
{
	struct sealed want = expected(aead, number), got = seal(table, ctx);

	assert_memory_equal(&got, &want, sizeof(got));
	assert_int_equal(table->aead_open(ctx, nonce, nonce, 1, got.text, TEXT_LEN, got.tag), 0);
	assert_memory_equal(got.text, TEXT, TEXT_LEN);
	got = want;
	got.tag[0] ^= 1;
	assert_int_equal(table->aead_open(ctx, nonce, nonce, 1, got.text, TEXT_LEN, got.tag),
			 TCPCRYPT_E_AUTH);
}

static void set(struct tcpcrypt_aead *ctx, unsigned int number)
{
	uint8_t key[TCPCRYPT_AEAD_KEY_MAX];

	key_make(number, key);
	assert_int_equal(table->aead_set_key(ctx, key), 0);
}

static void *work(void *data)
{
	static __thread struct tcpcrypt_aead *keys[KEYS];
	const unsigned int first = 1000000 * (uintptr_t)data;

	assert_int_equal(aeads_begin(), 0);
	for (unsigned int i = 0; i < KEYS; i++) {
		assert_int_equal(table->aead_new(kind(i), &keys[i]), 0);
		set(keys[i], first + i);
		expect(keys[i], kind(i), first + i);
	}
	/* Others had the contexts meanwhile. */
	for (unsigned int i = 0; i < KEYS; i++)
		expect(keys[i], kind(i), first + i);
	for (unsigned int i = 0; i < KEYS; i += 2)
		set(keys[i], first + KEYS + i);
	for (unsigned int i = 0; i < KEYS; i++)
		expect(keys[i], kind(i), first + i + (i % 2 ? 0 : KEYS));
	for (unsigned int i = 0; i < KEYS; i++)
		table->aead_free(keys[i]);
	table->aead_free(NULL);
	aeads_end();
	return data;
}

static void test_threads(void **state)
{
	pthread_t threads[3];

	for (uintptr_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void test_nobodys(void **state)
{
	struct tcpcrypt_aead *ctx;

	assert_int_equal(table->aead_new(TCPCRYPT_AEAD_AES_128_GCM, &ctx), TCPCRYPT_E_STATE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_nobodys),
	};

	table = aeads_table(tcpcrypt_crypto_openssl());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
