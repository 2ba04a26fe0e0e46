/* SPDX-License-Identifier: BSD-2-Clause */
/* X25519 by libsodium: the vectors, of which most must be refused. */
#include "crypto/fastest.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

/* 8548-5-4, 8548-5-5, 8548-5-6 */
static void run_agreement(const json_t *c)
{
	const struct tcpcrypt_crypto *crypto = crypto_choose()->table;
	struct bytes private = vectors_bytes(c, "private"),
		     peer = vectors_bytes(c, "peer_pub_wire");
	uint8_t es[TCPCRYPT_SHARED_SECRET_MAX];
	struct tcpcrypt_keypair *pair;
	size_t len;

	if (vectors_integer(c, "tep") == TCPCRYPT_TEP_X25519) {
		assert_int_equal(private.len, 32);
		assert_int_equal(sodium_keypair_from_private(private.data, &pair), 0);
		if (strcmp(vectors_text(c, "result"), "ok") == 0) {
			assert_int_equal(crypto->agree(pair, peer.data, peer.len, es, &len), 0);
			vectors_expect(c, "es", es, len);
		} else {
			assert_int_equal(crypto->agree(pair, peer.data, peer.len, es, &len),
					 TCPCRYPT_E_BAD_KEY);
		}
		/* Neither too little nor too much. */
		assert_int_equal(crypto->agree(pair, peer.data, peer.len - 1, es, &len),
				 TCPCRYPT_E_BAD_KEY);
		crypto->keypair_free(pair);
	}
	free(private.data);
	free(peer.data);
}

static void test_agreement(void **state)
{
	assert_string_equal(crypto_choose()->x25519.library, "libsodium");
	vectors_run("handshake.json", "key_agreement", run_agreement);
}

/* 8548-3.3-3: no two pairs are the same. */
static void test_fresh_pairs(void **state)
{
	const struct tcpcrypt_crypto *crypto = crypto_choose()->table;
	uint8_t a[TCPCRYPT_PUBLIC_KEY_MAX], b[TCPCRYPT_PUBLIC_KEY_MAX];
	struct tcpcrypt_keypair *first, *second;
	size_t len;

	assert_int_equal(crypto->keypair_new(TCPCRYPT_TEP_X25519, &first), 0);
	assert_int_equal(crypto->keypair_new(TCPCRYPT_TEP_X25519, &second), 0);
	assert_int_equal(crypto->public_key(first, a, &len), 0);
	assert_int_equal(crypto->public_key(second, b, &len), 0);
	assert_int_equal(len, 32);
	assert_memory_not_equal(a, b, len);
	crypto->keypair_free(first);
	crypto->keypair_free(second);
}

/* The way by the Edwards curve comes to what the ladder does with the base point. */
static void check_public(struct tcpcrypt_keypair *pair)
{
	const struct tcpcrypt_crypto *crypto = crypto_choose()->table;
	const uint8_t base[32] = { 9 };
	uint8_t public[TCPCRYPT_PUBLIC_KEY_MAX], ladder[TCPCRYPT_SHARED_SECRET_MAX];
	size_t public_len, ladder_len;

	assert_int_equal(crypto->public_key(pair, public, &public_len), 0);
	assert_int_equal(crypto->agree(pair, base, sizeof(base), ladder, &ladder_len), 0);
	assert_int_equal(public_len, ladder_len);
	assert_memory_equal(public, ladder, ladder_len);
	crypto->keypair_free(pair);
}

static void test_public(void **state)
{
	const struct tcpcrypt_crypto *crypto = crypto_choose()->table;
	uint8_t private[32];
	struct tcpcrypt_keypair *pair;

	/* What clamping makes the least and the greatest of; zero itself libsodium refuses. */
	for (int byte = 0; byte <= 0xff; byte += 0xff) {
		memset(private, byte, sizeof(private));
		private[0] |= 1;
		assert_int_equal(sodium_keypair_from_private(private, &pair), 0);
		check_public(pair);
	}
	for (int i = 0; i < 300; i++) {
		assert_int_equal(crypto->keypair_new(TCPCRYPT_TEP_X25519, &pair), 0);
		check_public(pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_fresh_pairs),
		cmocka_unit_test(test_public),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
