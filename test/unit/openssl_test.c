/* SPDX-License-Identifier: BSD-2-Clause */
#include "crypto/openssl.h"
#include "core/aead.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

/* 8548-5-3, 8548-5-4, 8548-5-5, 8548-5-6: what must be refused is refused, and what looks odd is not. */
static void run_agreement(const json_t *c)
{
	struct bytes private_key = vectors_bytes(c, "private");
	struct bytes peer = vectors_bytes(c, "peer_pub_wire");
	uint8_t es[TCPCRYPT_SHARED_SECRET_MAX];
	struct tcpcrypt_keypair *pair;
	size_t len;
	int r;

	assert_int_equal(openssl_keypair_from_private((uint8_t)vectors_integer(c, "tep"),
						      private_key.data, private_key.len, &pair),
			 0);
	r = openssl_agree(pair, peer.data, peer.len, es, &len);
	if (strcmp(vectors_text(c, "result"), "ok") == 0) {
		assert_int_equal(r, 0);
		vectors_expect(c, "es", es, len);
	} else {
		assert_int_equal(r, TCPCRYPT_E_BAD_KEY);
	}
	openssl_keypair_free(pair);
	free(private_key.data);
	free(peer.data);
}

static void test_agreement(void **state)
{
	vectors_run("handshake.json", "key_agreement", run_agreement);
}

static const uint8_t teps[] = { TCPCRYPT_TEP_P256, TCPCRYPT_TEP_P521, TCPCRYPT_TEP_X25519,
				TCPCRYPT_TEP_X448 };

/* 8548-5-2, 8548-5-7, 8548-5-9, 8548-8.3-1: fresh pairs of all four TEPs, in the wire's format. */
static void test_fresh_pairs(void **state)
{
	static const size_t lens[] = { 35, 69, 32, 56 }, secret_lens[] = { 32, 66, 32, 56 };

	for (size_t i = 0; i < N_ELEMENTS(teps); i++) {
		uint8_t public_a[TCPCRYPT_PUBLIC_KEY_MAX], public_b[TCPCRYPT_PUBLIC_KEY_MAX];
		uint8_t es_a[TCPCRYPT_SHARED_SECRET_MAX], es_b[TCPCRYPT_SHARED_SECRET_MAX];
		struct tcpcrypt_keypair *a, *b;
		size_t len_a, len_b;

		assert_int_equal(openssl_keypair_new(teps[i], &a), 0);
		assert_int_equal(openssl_keypair_new(teps[i], &b), 0);
		assert_int_equal(openssl_public_key(a, public_a, &len_a), 0);
		assert_int_equal(openssl_public_key(b, public_b, &len_b), 0);
		assert_int_equal(len_a, lens[i]);
		assert_int_equal(len_b, lens[i]);
		assert_memory_not_equal(public_a, public_b, len_a);
		if (i < 2)
			assert_true(public_a[2] == 2 || public_a[2] == 3);
		assert_int_equal(openssl_agree(a, public_b, len_b, es_a, &len_a), 0);
		assert_int_equal(openssl_agree(b, public_a, lens[i], es_b, &len_b), 0);
		assert_int_equal(len_a, secret_lens[i]);
		assert_int_equal(len_b, secret_lens[i]);
		assert_memory_equal(es_a, es_b, len_a);
		openssl_keypair_free(a);
		openssl_keypair_free(b);
	}
	openssl_keypair_free(NULL);
}

static void test_unknown_algorithms(void **state)
{
	struct tcpcrypt_keypair *pair;
	struct tcpcrypt_aead *aead;

	assert_int_equal(openssl_keypair_new(0x20, &pair), TCPCRYPT_E_ARGUMENT);
	assert_int_equal(openssl_keypair_from_private(0x25, (const uint8_t *)"", 0, &pair),
			 TCPCRYPT_E_ARGUMENT);
	assert_int_equal(openssl_aead_new(3, &aead), TCPCRYPT_E_ARGUMENT);
	openssl_aead_free(NULL);
}

static const uint16_t aeads[] = { TCPCRYPT_AEAD_AES_128_GCM, TCPCRYPT_AEAD_AES_256_GCM,
				  TCPCRYPT_AEAD_CHACHA20_POLY1305 };

/* 8548-6-1: one context seals, opens and is given new keys, in any order. */
static void test_aead_context(void **state)
{
	for (size_t i = 0; i < N_ELEMENTS(aeads); i++) {
		uint8_t key[TCPCRYPT_AEAD_KEY_MAX] = { 1 }, other[TCPCRYPT_AEAD_KEY_MAX] = { 2 };
		uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN] = { 3 }, tag[TCPCRYPT_AEAD_TAG_LEN];
		uint8_t data[1000] = { 0 }, empty_tag[TCPCRYPT_AEAD_TAG_LEN];
		struct tcpcrypt_aead *ctx;

		assert_int_equal(openssl_aead_new(aeads[i], &ctx), 0);
		assert_int_equal(openssl_aead_set_key(ctx, key), 0);
		for (int round = 0; round < 3; round++) {
			assert_int_equal(
				openssl_aead_seal(ctx, nonce, key, 3, data, 1000, NULL, tag), 0);
			assert_int_not_equal(data[999], 0);
			assert_int_equal(openssl_aead_open(ctx, nonce, key, 3, data, 1000, tag), 0);
			assert_int_equal(data[999], 0);
		}
		assert_int_equal(openssl_aead_seal(ctx, nonce, key, 3, data, 1000, NULL, tag), 0);
		assert_int_equal(openssl_aead_set_key(ctx, other), 0);
		assert_int_equal(openssl_aead_open(ctx, nonce, key, 3, data, 1000, tag),
				 TCPCRYPT_E_AUTH);
		assert_int_equal(openssl_aead_seal(ctx, nonce, key, 3, data, 0, NULL, empty_tag),
				 0);
		assert_int_equal(openssl_aead_open(ctx, nonce, key, 3, data, 0, empty_tag), 0);
		assert_int_equal(openssl_aead_open(ctx, nonce, key, 2, data, 0, empty_tag),
				 TCPCRYPT_E_AUTH);
		openssl_aead_free(ctx);
	}
}

/* RFC 4231 test case 2, its data in pieces. */
static void test_hmac(void **state)
{
	static const char expected[] =
		"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
	const struct tcpcrypt_span spans[] = {
		{ (const uint8_t *)"what do ya ", 11 },
		{ NULL, 0 },
		{ (const uint8_t *)"want for nothing?", 17 },
	};
	struct bytes tag = vectors_hex(expected);
	uint8_t out[TCPCRYPT_HASH_LEN];

	assert_int_equal(openssl_hmac((const uint8_t *)"Jefe", 4, spans, 3, out), 0);
	assert_memory_equal(out, tag.data, sizeof(out));
	free(tag.data);
}

/* 8548-8-4: there is randomness, and it is not constant. */
static void test_random(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	assert_int_equal(tcpcrypt_crypto_openssl()->random(a, sizeof(a)), 0);
	assert_int_equal(tcpcrypt_crypto_openssl()->random(b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static int setup(void **state)
{
	return tcpcrypt_crypto_openssl() ? 0 : -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_fresh_pairs),
		cmocka_unit_test(test_unknown_algorithms),
		cmocka_unit_test(test_aead_context),
		cmocka_unit_test(test_hmac),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
