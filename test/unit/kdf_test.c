/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/aead.h"
#include "core/kdf.h"
#include "core/resume.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

static const struct tcpcrypt_span nothing;

static const struct tcpcrypt_crypto *crypto(void)
{
	return tcpcrypt_crypto_openssl();
}

static struct tcpcrypt_span span(struct bytes b)
{
	return (struct tcpcrypt_span){ b.data, b.len };
}

static struct bytes item(const json_t *c, const char *list, size_t i)
{
	return vectors_hex(json_string_value(json_array_get(vectors_member(c, list), i)));
}

static void expect_item(const json_t *c, const char *list, size_t i, const uint8_t *data,
			size_t len)
{
	struct bytes expected = item(c, list, i);

	assert_int_equal(expected.len, len);
	assert_memory_equal(expected.data, data, len);
	free(expected.data);
}

/* mk[j], k_ab[j], k_ba[j] of one session secret. */
static void expect_generations(const json_t *c, const uint8_t *ss, struct tcpcrypt_span sn)
{
	size_t key_len = aead_find((uint16_t)vectors_integer(c, "aead"))->key_len;
	size_t len = key_len + TCPCRYPT_AEAD_NONCE_LEN;
	uint8_t mk[WIRE_K_LEN], key[WIRE_TRAFFIC_KEY_MAX];

	assert_int_equal(kdf_first_master(crypto(), ss, sn, mk), 0);
	for (size_t j = 0; j < json_array_size(vectors_member(c, "mk")); j++) {
		expect_item(c, "mk", j, mk, sizeof(mk));
		assert_int_equal(kdf_traffic_key(crypto(), mk, WIRE_CONST_KEY_A, key, len), 0);
		expect_item(c, "k_ab", j, key, len);
		assert_int_equal(kdf_traffic_key(crypto(), mk, WIRE_CONST_KEY_B, key, len), 0);
		expect_item(c, "k_ba", j, key, len);
		assert_int_equal(kdf_next_master(crypto(), mk, mk), 0);
	}
}

static void expect_session_id(const json_t *c, const uint8_t *ss, struct tcpcrypt_span sn)
{
	uint8_t id[TCPCRYPT_SESSION_ID_LEN];

	assert_int_equal(
		kdf_session_id(crypto(), (uint8_t)vectors_integer(c, "tep_byte"), ss, sn, id), 0);
	vectors_expect(c, "session_id", id, sizeof(id));
}

static void expect_chain(const json_t *c, const uint8_t *prk)
{
	uint8_t ss[WIRE_K_LEN], id[WIRE_RESUME_ID_LEN];
	char name[2] = { 0 };

	memcpy(ss, prk, sizeof(ss));
	for (size_t i = 0; i < json_array_size(vectors_member(c, "ss")); i++) {
		expect_item(c, "ss", i, ss, sizeof(ss));
		name[0] = (char)('0' + i);
		if (json_object_get(vectors_member(c, "resume"), name)) {
			assert_int_equal(resume_identifier(crypto(), ss, id), 0);
			vectors_expect(vectors_member(c, "resume"), name, id, sizeof(id));
		}
		assert_int_equal(kdf_next_secret(crypto(), ss, ss), 0);
	}
}

/* 8547-4.8-2, 8547-5.1-10, 8548-5-1: every derived value of the fresh sessions. */
static void run_fresh(const json_t *c)
{
	struct bytes transcript = vectors_bytes(c, "transcript"), es = vectors_bytes(c, "es");
	struct bytes init1 = vectors_bytes(c, "init1"), init2 = vectors_bytes(c, "init2");
	struct bytes nonce = vectors_bytes(vectors_member(c, "a"), "nonce");
	const struct kdf_exchange exchange = { span(transcript), span(init1), span(init2), span(es),
					       nonce.data };
	uint8_t prk[WIRE_K_LEN];

	assert_int_equal(nonce.len, WIRE_NONCE_LEN);
	assert_int_equal(kdf_extract(crypto(), &exchange, prk), 0);
	vectors_expect(c, "prk", prk, sizeof(prk));
	expect_session_id(c, prk, nothing);
	expect_generations(c, prk, nothing);
	expect_chain(c, prk);
	free(transcript.data);
	free(es.data);
	free(init1.data);
	free(init2.data);
	free(nonce.data);
}

static void test_fresh(void **state)
{
	vectors_run("handshake.json", "sessions", run_fresh);
}

static void expect_next(const json_t *c, const uint8_t *ss)
{
	uint8_t next[WIRE_K_LEN], id[WIRE_RESUME_ID_LEN];

	assert_int_equal(kdf_next_secret(crypto(), ss, next), 0);
	vectors_expect(c, "next_ss", next, sizeof(next));
	assert_int_equal(resume_identifier(crypto(), next, id), 0);
	vectors_expect(c, "next_resume", id, sizeof(id));
}

/* sn goes into mk[0] and the session ID and nowhere else. */
static void run_resumed(const json_t *c)
{
	struct bytes ss = vectors_bytes(c, "ss0"), sn = vectors_bytes(c, "sn");
	uint8_t id[WIRE_RESUME_ID_LEN];

	for (uint64_t i = 0; i < vectors_integer(c, "i"); i++)
		assert_int_equal(kdf_next_secret(crypto(), ss.data, ss.data), 0);
	vectors_expect(c, "ss", ss.data, ss.len);
	assert_int_equal(resume_identifier(crypto(), ss.data, id), 0);
	vectors_expect(c, "resume", id, sizeof(id));
	expect_session_id(c, ss.data, span(sn));
	expect_generations(c, ss.data, span(sn));
	expect_next(c, ss.data);
	free(ss.data);
	free(sn.data);
}

static void test_resumed(void **state)
{
	vectors_run("resumption.json", "sessions", run_resumed);
}

/* RFC 5869 A.1 has another shape of info; the block counter is checked against itself. */
static void test_expand(void **state)
{
	uint8_t key[WIRE_K_LEN] = { 7 }, whole[100], part[33], too_long[255 * 32 + 1];

	assert_int_equal(kdf_expand(crypto(), key, 1, nothing, whole, sizeof(whole)), 0);
	assert_int_equal(kdf_expand(crypto(), key, 1, nothing, part, sizeof(part)), 0);
	assert_memory_equal(whole, part, sizeof(part));
	assert_memory_not_equal(whole, whole + 32, 32);
	assert_int_equal(kdf_expand(crypto(), key, 1, nothing, too_long, sizeof(too_long)),
			 TCPCRYPT_E_ARGUMENT);
	assert_int_equal(kdf_expand(crypto(), key, 1, nothing, too_long, 255 * 32), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_expand),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
