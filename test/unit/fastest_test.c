/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's backends against OpenSSL's: the same bytes, and the same refusals. */
#include "crypto/fastest.h"
#include "test/unit/unit.h"

#include <tcpcrypt/session.h>

#define DATA_MAX 65519

static const uint16_t aeads[] = { TCPCRYPT_AEAD_AES_128_GCM, TCPCRYPT_AEAD_AES_256_GCM,
				  TCPCRYPT_AEAD_CHACHA20_POLY1305 };

static void fill(uint8_t *p, size_t len, unsigned int seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = seed + 167 * i + 13 * (i >> 8);
}

struct sealed {
	uint8_t data[DATA_MAX];
	uint8_t tag[TCPCRYPT_AEAD_TAG_LEN];
};

static struct sealed ours, theirs, parts;
static uint8_t plain[DATA_MAX];

/* Whatever part of the text lies elsewhere, it is sealed as if all of it stood here. */
static void compare_parts(const struct tcpcrypt_crypto *crypto, struct tcpcrypt_aead *ctx,
			  const uint8_t *nonce, const uint8_t *aad, size_t len)
{
	static const size_t heads[] = { 0, 1, 3, 15, 16, 17 };

	for (size_t i = 0; i < N_ELEMENTS(heads) && heads[i] <= len; i++) {
		const struct tcpcrypt_span text = { plain + heads[i], len - heads[i] };

		memset(parts.data, 0xa5, sizeof(parts.data));
		memcpy(parts.data, plain, heads[i]);
		assert_int_equal(crypto->aead_seal(ctx, nonce, aad, 3, parts.data, heads[i], &text,
						   parts.tag),
				 0);
		assert_memory_equal(parts.data, ours.data, len);
		assert_memory_equal(parts.tag, ours.tag, sizeof(parts.tag));
		for (size_t j = len; j < len + 64 && j < sizeof(parts.data); j++)
			assert_int_equal(parts.data[j], 0xa5);
	}
}

static void compare(const struct tcpcrypt_crypto *fast, const struct tcpcrypt_crypto *reference,
		    uint16_t aead, size_t len)
{
	uint8_t key[TCPCRYPT_AEAD_KEY_MAX], nonce[TCPCRYPT_AEAD_NONCE_LEN], aad[3];
	struct tcpcrypt_aead *a, *b;

	fill(key, sizeof(key), len);
	fill(nonce, sizeof(nonce), len + 1);
	fill(aad, sizeof(aad), len + 2);
	fill(plain, len, len + 3);
	memcpy(ours.data, plain, len);
	memcpy(theirs.data, plain, len);
	assert_int_equal(fast->aead_new(aead, &a), 0);
	assert_int_equal(reference->aead_new(aead, &b), 0);
	assert_int_equal(fast->aead_set_key(a, key), 0);
	assert_int_equal(reference->aead_set_key(b, key), 0);
	assert_int_equal(fast->aead_seal(a, nonce, aad, 3, ours.data, len, NULL, ours.tag), 0);
	assert_int_equal(reference->aead_seal(b, nonce, aad, 3, theirs.data, len, NULL, theirs.tag),
			 0);
	assert_memory_equal(ours.data, theirs.data, len);
	assert_memory_equal(ours.tag, theirs.tag, sizeof(ours.tag));
	compare_parts(fast, a, nonce, aad, len);
	compare_parts(reference, b, nonce, aad, len);
	assert_int_equal(fast->aead_open(a, nonce, aad, 3, ours.data, len, ours.tag), 0);
	assert_memory_equal(ours.data, plain, len);
	/* A bit of the data, of the tag, of what is authenticated only. */
	theirs.data[len / 2] ^= 1;
	assert_int_equal(fast->aead_open(a, nonce, aad, 3, theirs.data, len, theirs.tag),
			 TCPCRYPT_E_AUTH);
	memcpy(theirs.data, plain, len);
	reference->aead_seal(b, nonce, aad, 3, theirs.data, len, NULL, theirs.tag);
	theirs.tag[15] ^= 0x80;
	assert_int_equal(fast->aead_open(a, nonce, aad, 3, theirs.data, len, theirs.tag),
			 TCPCRYPT_E_AUTH);
	memcpy(theirs.data, plain, len);
	reference->aead_seal(b, nonce, aad, 3, theirs.data, len, NULL, theirs.tag);
	aad[0] ^= 1;
	assert_int_equal(fast->aead_open(a, nonce, aad, 3, theirs.data, len, theirs.tag),
			 TCPCRYPT_E_AUTH);
	fast->aead_free(a);
	reference->aead_free(b);
}

static void test_same_bytes(void **state)
{
	static const size_t lens[] = { 1,    2,	   15,	 16,	17,    31,    32,      33,  63,
				       64,   65,   127,	 128,	129,   255,   256,     257, 1380,
				       1381, 4096, 9000, 16384, 65000, 65518, DATA_MAX };
	const struct tcpcrypt_crypto *fast = crypto_choose()->table;
	const struct tcpcrypt_crypto *reference = tcpcrypt_crypto_openssl();

	assert_non_null(fast);
	for (size_t i = 0; i < N_ELEMENTS(aeads); i++)
		for (size_t j = 0; j < N_ELEMENTS(lens); j++)
			compare(fast, reference, aeads[i], lens[j]);
}

static void test_refusals(void **state)
{
	const struct tcpcrypt_crypto *fast = crypto_choose()->table;
	struct tcpcrypt_aead *a;

	assert_true(fast->aead_new(0x1234, &a) < 0);
	fast->aead_free(NULL);
}

/* 8548-5-2: each backend understands what the other sends, and both agree. */
static void test_same_secret(void **state)
{
	static const uint8_t teps[] = { TCPCRYPT_TEP_X25519, TCPCRYPT_TEP_P256, TCPCRYPT_TEP_X448,
					TCPCRYPT_TEP_P521 };
	const struct tcpcrypt_crypto *fast = crypto_choose()->table;
	const struct tcpcrypt_crypto *reference = tcpcrypt_crypto_openssl();
	uint8_t public_a[TCPCRYPT_PUBLIC_KEY_MAX], public_b[TCPCRYPT_PUBLIC_KEY_MAX];
	uint8_t es_a[TCPCRYPT_SHARED_SECRET_MAX], es_b[TCPCRYPT_SHARED_SECRET_MAX];
	size_t len_a, len_b, es_a_len, es_b_len;
	struct tcpcrypt_keypair *a, *b;

	for (size_t i = 0; i < sizeof(teps); i++) {
		assert_int_equal(fast->keypair_new(teps[i], &a), 0);
		assert_int_equal(reference->keypair_new(teps[i], &b), 0);
		assert_int_equal(fast->public_key(a, public_a, &len_a), 0);
		assert_int_equal(reference->public_key(b, public_b, &len_b), 0);
		assert_int_equal(len_a, len_b);
		assert_int_equal(fast->agree(a, public_b, len_b, es_a, &es_a_len), 0);
		assert_int_equal(reference->agree(b, public_a, len_a, es_b, &es_b_len), 0);
		assert_int_equal(es_a_len, es_b_len);
		assert_memory_equal(es_a, es_b, es_a_len);
		fast->keypair_free(a);
		reference->keypair_free(b);
	}
	assert_true(fast->keypair_new(0x7f, &a) < 0);
	fast->keypair_free(NULL);
}

static void test_same_hash(void **state)
{
	static const size_t lens[] = { 0, 1, 31, 32, 33, 63, 64, 65, 1000, 65000 };
	const struct tcpcrypt_crypto *fast = crypto_choose()->table;
	const struct tcpcrypt_crypto *reference = tcpcrypt_crypto_openssl();
	uint8_t a[TCPCRYPT_HASH_LEN], b[TCPCRYPT_HASH_LEN], key[200];

	fill(plain, sizeof(plain), 7);
	fill(key, sizeof(key), 8);
	for (size_t i = 0; i < N_ELEMENTS(lens); i++) {
		const struct tcpcrypt_span spans[] = {
			{ NULL, 0 }, { plain, lens[i] }, { key, 1 }, { plain, 2 * lens[i] / 3 }
		};
		/* 64 is the block: a longer key is hashed first. */
		const size_t key_lens[] = { 1, 32, 64, 65, sizeof(key) };

		for (size_t j = 0; j < N_ELEMENTS(key_lens); j++) {
			assert_int_equal(fast->hmac(key, key_lens[j], spans, 4, a), 0);
			assert_int_equal(reference->hmac(key, key_lens[j], spans, 4, b), 0);
			assert_memory_equal(a, b, sizeof(a));
		}
	}
}

static void test_reasons(void **state)
{
	const struct crypto_choice *choice = crypto_choose();

	assert_non_null(choice->aes_gcm.library);
	assert_non_null(choice->aes_gcm.reason);
	assert_non_null(choice->x25519.library);
	assert_non_null(choice->x25519.reason);
	assert_non_null(choice->hmac.library);
	assert_non_null(choice->hmac.reason);
	/* Who says OpenSSL must be OpenSSL. */
	assert_int_equal(strcmp(choice->aes_gcm.library, "OpenSSL") == 0,
			 choice->table->aead_seal == tcpcrypt_crypto_openssl()->aead_seal);
	assert_int_equal(strcmp(choice->x25519.library, "OpenSSL") == 0,
			 choice->table->agree == tcpcrypt_crypto_openssl()->agree);
	assert_int_equal(strcmp(choice->hmac.library, "OpenSSL") == 0,
			 choice->table->hmac == tcpcrypt_crypto_openssl()->hmac);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_same_bytes),  cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_same_secret), cmocka_unit_test(test_same_hash),
		cmocka_unit_test(test_reasons),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
