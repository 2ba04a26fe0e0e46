/* SPDX-License-Identifier: BSD-2-Clause */
/* What a session ID is worth: nobody can have the same one twice, and it depends on everything. */
#include "core/kdf.h"
#include "test/unit/pair_expect.h"

static void copy_id(const struct pair_end *end, uint8_t id[TCPCRYPT_SESSION_ID_LEN])
{
	struct tcpcrypt_session_info info;

	tcpcrypt_session_info(end->session, &info);
	assert_non_null(info.session_id);
	memcpy(id, info.session_id, TCPCRYPT_SESSION_ID_LEN);
}

/*
 * 8547-5.1-6, 8547-5.1-7, 8547-5-7: a host A that says the same to two hosts B has another session
 * with each, because each B adds a key and a nonce of its own.
 */
static void test_repeated_init1(void **state)
{
	uint8_t first[TCPCRYPT_SESSION_ID_LEN], second[TCPCRYPT_SESSION_ID_LEN];
	struct pair one, two;

	assert_int_equal(pair_init(&one, &usual), 0);
	assert_int_equal(pair_init(&two, &usual), 0);
	pair_flush(&one.a);
	pair_append(&two.a.wire, one.a.wire.data, one.a.wire.len);
	pair_deliver(&one, &one.a, ALL);
	pair_deliver(&two, &two.a, ALL);
	copy_id(&one.b, first);
	copy_id(&two.b, second);
	assert_memory_not_equal(first, second, sizeof(first));
	pair_deinit(&one);
	pair_deinit(&two);
}

/* 8548-8-2, 8547-5-7: no part of an Init message comes again but its fixed fields. */
static void test_fresh_inits(void **state)
{
	size_t same = 0;
	struct pair one, two;

	assert_int_equal(pair_init(&one, &usual), 0);
	assert_int_equal(pair_init(&two, &usual), 0);
	pair_flush(&one.a);
	pair_flush(&two.a);
	assert_int_equal(one.a.wire.len, two.a.wire.len);
	for (size_t i = WIRE_INIT1_FIXED_LEN + 2 - WIRE_NONCE_LEN; i < one.a.wire.len; i++)
		same += one.a.wire.data[i] == two.a.wire.data[i];
	/* Of 64 random bytes one in 256 is equal by chance. */
	assert_true(same < 10);
	pair_deinit(&one);
	pair_deinit(&two);
}

struct inputs {
	uint8_t transcript[7], init1[77], init2[76], es[32], nonce_a[WIRE_NONCE_LEN];
};

static void id_of(const struct inputs *in, uint8_t tep, uint8_t id[TCPCRYPT_SESSION_ID_LEN])
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	const struct tcpcrypt_span none = { NULL, 0 };
	const struct kdf_exchange exchange = {
		.transcript = { in->transcript, sizeof(in->transcript) },
		.init1 = { in->init1, sizeof(in->init1) },
		.init2 = { in->init2, sizeof(in->init2) },
		.es = { in->es, sizeof(in->es) },
		.nonce_a = in->nonce_a,
	};
	uint8_t prk[WIRE_K_LEN];

	assert_int_equal(kdf_extract(crypto, &exchange, prk), 0);
	assert_int_equal(kdf_session_id(crypto, tep, prk, none, id), 0);
}

/*
 * 8547-5.1-11: every bit of the options, of both Init messages (public keys, nonces, ciphers) and
 * of the shared secret. 8547-5.1-12, 8547-8.6-1: each time about half of the ID's bits differ.
 */
static void test_depends_on_everything(void **state)
{
	uint8_t id[TCPCRYPT_SESSION_ID_LEN], other[TCPCRYPT_SESSION_ID_LEN];
	struct inputs in = { { 0 }, { 0 }, { 0 }, { 0 }, { 0 } };
	uint8_t *bytes = (uint8_t *)&in;
	unsigned int total = 0;

	id_of(&in, TCPCRYPT_TEP_X25519, id);
	for (size_t bit = 0; bit < 8 * sizeof(in); bit++) {
		unsigned int differ = 0;

		bytes[bit / 8] ^= 1 << bit % 8;
		id_of(&in, TCPCRYPT_TEP_X25519, other);
		bytes[bit / 8] ^= 1 << bit % 8;
		assert_int_equal(other[0], TCPCRYPT_TEP_X25519);
		for (size_t i = 1; i < sizeof(id); i++)
			differ += (unsigned int)__builtin_popcount(id[i] ^ other[i]);
		assert_in_range(differ, 70, 186);
		total += differ;
	}
	assert_in_range(total / (8 * sizeof(in)), 126, 130);
}

/* 8547-5.1-14: the ID is none of the secrets that come from the same source, nor a part of one. */
static void test_is_no_key(void **state)
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	const uint8_t ss[WIRE_K_LEN] = { 8, 5, 4, 7 };
	uint8_t id[TCPCRYPT_SESSION_ID_LEN], secret[5][WIRE_K_LEN];
	const struct tcpcrypt_span none = { NULL, 0 };

	assert_int_equal(kdf_session_id(crypto, TCPCRYPT_TEP_P256, ss, none, id), 0);
	memcpy(secret[0], ss, sizeof(ss));
	assert_int_equal(kdf_next_secret(crypto, ss, secret[1]), 0);
	assert_int_equal(kdf_first_master(crypto, ss, none, secret[2]), 0);
	assert_int_equal(
		kdf_traffic_key(crypto, secret[2], WIRE_CONST_KEY_A, secret[3], WIRE_K_LEN), 0);
	assert_int_equal(
		kdf_traffic_key(crypto, secret[2], WIRE_CONST_KEY_B, secret[4], WIRE_K_LEN), 0);
	for (size_t i = 0; i < N_ELEMENTS(secret); i++)
		for (size_t at = 0; at + 8 <= WIRE_K_LEN; at += 8)
			assert_memory_not_equal(id + 1 + at, secret[i] + at, 8);
}

/* 8547-5.1-2: the program that owns the session can read it, at both ends alike. */
static void test_is_told(void **state)
{
	uint8_t a[TCPCRYPT_SESSION_ID_LEN], b[TCPCRYPT_SESSION_ID_LEN];
	struct pair pair;

	start(&pair, &usual);
	copy_id(&pair.a, a);
	copy_id(&pair.b, b);
	assert_memory_equal(a, b, sizeof(a));
	pair_deinit(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_repeated_init1),
		cmocka_unit_test(test_fresh_inits),
		cmocka_unit_test(test_depends_on_everything),
		cmocka_unit_test(test_is_no_key),
		cmocka_unit_test(test_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
