/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/exchange.h"
#include "core/kdf.h"
#include "crypto/openssl.h"
#include "test/unit/frozen.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

static struct tcpcrypt_keypair *keypair(const json_t *c, const char *host)
{
	struct bytes key = vectors_bytes(vectors_member(c, host), "private");
	struct tcpcrypt_keypair *pair;

	assert_int_equal(openssl_keypair_from_private((uint8_t)vectors_integer(c, "tep"), key.data,
						      key.len, &pair),
			 0);
	free(key.data);
	return pair;
}

/* ES as one host computes it from the other's message. */
static void expect_es(const json_t *c, const char *host, const struct init_message *peer)
{
	struct tcpcrypt_keypair *pair = keypair(c, host);
	uint8_t es[TCPCRYPT_SHARED_SECRET_MAX];
	size_t len;

	assert_int_equal(openssl_agree(pair, peer->public_key, peer->public_key_len, es, &len), 0);
	vectors_expect(c, "es", es, len);
	openssl_keypair_free(pair);
}

static void expect_host(const json_t *host, const struct init_message *message)
{
	vectors_expect(host, "nonce", message->nonce, WIRE_NONCE_LEN);
	vectors_expect(host, "pub_wire", message->public_key, message->public_key_len);
}

/* 8548-4.1-2, 8548-4.1-4: reading both messages of every session, odd ones included. */
static void run_decode(const json_t *c)
{
	struct bytes init1 = vectors_bytes(c, "init1"), init2 = vectors_bytes(c, "init2");
	const json_t *ciphers = vectors_member(vectors_member(c, "a"), "ciphers");
	uint8_t tep = (uint8_t)vectors_integer(c, "tep");
	struct init_message m1, m2;

	assert_int_equal(init_decode(INIT1, tep, init1.data, init1.len, &m1), 0);
	assert_int_equal(m1.n_ciphers, json_array_size(ciphers));
	for (size_t i = 0; i < m1.n_ciphers; i++)
		assert_int_equal(init_cipher(&m1, i),
				 json_integer_value(json_array_get(ciphers, i)));
	expect_host(vectors_member(c, "a"), &m1);
	expect_es(c, "b", &m1);
	assert_int_equal(init_decode(INIT2, tep, init2.data, init2.len, &m2), 0);
	assert_int_equal(init_cipher(&m2, 0), vectors_integer(c, "aead"));
	expect_host(vectors_member(c, "b"), &m2);
	expect_es(c, "a", &m2);
	free(init1.data);
	free(init2.data);
}

static void test_decode(void **state)
{
	vectors_run("handshake.json", "sessions", run_decode);
}

/* 8548-3.3-3: the private key is gone as soon as ES is there, and never used twice. */
static void test_key_used_once(void **state)
{
	const uint8_t transcript[] = { 0x45, 3, 0x23, 0x45, 4, 1, 0x23 };
	const uint16_t aead = TCPCRYPT_AEAD_AES_128_GCM;
	struct tcpcrypt_session_params p = {
		.crypto = tcpcrypt_crypto_openssl(),
		.tep_byte = TCPCRYPT_TEP_X25519,
		.transcript = transcript,
		.transcript_len = sizeof(transcript),
		.aeads = &aead,
		.n_aeads = 1,
	};
	struct exchange_result result_a, result_b;
	struct exchange a, b;

	exchange_init(&a, &p);
	exchange_init(&b, &p);
	assert_int_equal(exchange_offer(&a), 0);
	assert_non_null(a.keypair);
	assert_int_equal(exchange_accept_init1(&b, a.init, a.init_len, &result_b), 0);
	assert_null(b.keypair);
	assert_int_equal(exchange_accept_init2(&a, b.init, b.init_len, &result_a), 0);
	assert_null(a.keypair);
	assert_memory_equal(result_a.prk, result_b.prk, sizeof(result_a.prk));
	exchange_deinit(&a);
	exchange_deinit(&b);
	for (size_t i = 0; i < sizeof(a); i++)
		assert_int_equal(((const uint8_t *)&a)[i], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_key_used_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
