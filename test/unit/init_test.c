/* SPDX-License-Identifier: BSD-2-Clause */
#include "crypto/openssl.h"
#include "core/init.h"
#include "test/unit/frozen.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

/* One host of init_bad.json, waiting for the message of the case. */
struct receiver {
	struct tcpcrypt_session *session;
	struct bytes nonce;
};

static size_t read_ciphers(const json_t *receiver, uint16_t aeads[TCPCRYPT_AEADS_MAX])
{
	const json_t *cipher;
	size_t i;

	json_array_foreach(vectors_member(receiver, "ciphers"), i, cipher)
		aeads[i] = (uint16_t)json_integer_value(cipher);
	return i;
}

static struct bytes read_transcript(const json_t *receiver)
{
	char hex[4 * TCPCRYPT_TRANSCRIPT_MAX];

	snprintf(hex, sizeof(hex), "%s%s", vectors_text(receiver, "eno_a"),
		 vectors_text(receiver, "eno_b"));
	return vectors_hex(hex);
}

static struct receiver receiver_new(const json_t *c)
{
	const json_t *json = vectors_member(c, "receiver");
	struct bytes key = vectors_bytes(json, "private"), transcript = read_transcript(json);
	struct receiver receiver = { .nonce = vectors_bytes(json, "nonce") };
	uint16_t aeads[TCPCRYPT_AEADS_MAX];
	struct tcpcrypt_session_params p = {
		.size = sizeof(p),
		.crypto = frozen_crypto(receiver.nonce.data, receiver.nonce.len),
		.role = vectors_text(json, "role")[0] == 'A' ? TCPCRYPT_ROLE_A : TCPCRYPT_ROLE_B,
		.tep_byte = (uint8_t)vectors_integer(c, "tep"),
		.transcript = transcript.data,
		.transcript_len = transcript.len,
		.aeads = aeads,
		.n_aeads = read_ciphers(json, aeads),
	};
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	size_t len;
	int error;

	assert_int_equal(openssl_keypair_from_private(p.tep_byte, key.data, key.len, &p.keypair),
			 0);
	receiver.session = tcpcrypt_session_new(&p, &error);
	assert_non_null(receiver.session);
	if (p.role == TCPCRYPT_ROLE_A)
		assert_int_equal(tcpcrypt_session_output(receiver.session, out, &len), 0);
	free(key.data);
	free(transcript.data);
	return receiver;
}

static void receiver_free(struct receiver *receiver)
{
	tcpcrypt_session_free(receiver->session);
	free(receiver->nonce.data);
}

static int error_of(const char *text)
{
	static const struct {
		const char *text;
		int error;
	} errors[] = {
		{ "bad-magic", TCPCRYPT_E_BAD_MAGIC },
		{ "bad-message-len", TCPCRYPT_E_BAD_INIT },
		{ "message-too-long", TCPCRYPT_E_BAD_INIT },
		{ "no-cipher", TCPCRYPT_E_NO_CIPHER },
		{ "cipher-not-offered", TCPCRYPT_E_BAD_CIPHER },
		{ "key-validation", TCPCRYPT_E_BAD_KEY },
		{ "fin-without-finp", TCPCRYPT_E_TRUNCATED },
	};

	for (size_t i = 0; i < N_ELEMENTS(errors); i++) {
		if (strcmp(text, errors[i].text) == 0)
			return errors[i].error;
	}
	fail_msg("unknown error %s", text);
	return 0;
}

static void expect_accepted(const json_t *c, struct tcpcrypt_session *s,
			    const struct tcpcrypt_received *rx)
{
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	struct tcpcrypt_session_info info;
	size_t len;

	assert_int_equal(rx->events, TCPCRYPT_RX_ESTABLISHED);
	assert_int_equal(rx->consumed, vectors_integer(c, "consumed"));
	tcpcrypt_session_info(s, &info);
	assert_true(info.established);
	assert_int_equal(info.aead, vectors_integer(c, "cipher"));
	vectors_expect(c, "session_id", info.session_id, TCPCRYPT_SESSION_ID_LEN);
	assert_int_equal(tcpcrypt_session_output(s, out, &len), 0);
	/* 8548-4.1-3: our own Init2 has no ignored bytes. */
	if (json_object_get(c, "init2"))
		vectors_expect(c, "init2", out, len);
	else
		assert_int_equal(len, 0);
}

/* 8547-4.6-8, 8547-4.6-9: after an abort nothing works any more, and nothing is left to send. */
static void expect_dead(struct tcpcrypt_session *s)
{
	struct tcpcrypt_received rx;
	struct tcpcrypt_session_info info;
	uint8_t byte = 0x15;

	assert_false(tcpcrypt_session_has_output(s));
	assert_false(tcpcrypt_session_can_send(s));
	assert_int_equal(tcpcrypt_session_receive(s, &byte, 1, &rx), TCPCRYPT_E_STATE);
	assert_int_equal(tcpcrypt_session_receive_fin(s, 0), TCPCRYPT_E_STATE);
	tcpcrypt_session_info(s, &info);
	assert_false(info.established);
}

/*
 * 8548-3.3-1, 8548-3.3-5, 8548-3.3-6, 8548-3.3-8, 8548-3.7-3, 8548-4.1-2, 8548-4.1-4,
 * 8548-5-3, 8548-5-5, 8548-8-1: step is how many bytes arrive at a time.
 */
static void run_pieces(const json_t *c, size_t step)
{
	struct receiver receiver = receiver_new(c);
	struct bytes wire = vectors_bytes(c, "wire");
	const char *reaction = vectors_text(c, "reaction");
	struct tcpcrypt_received rx = { 0 };
	int r = TCPCRYPT_AGAIN;

	for (size_t len = 0; r == TCPCRYPT_AGAIN && len < wire.len;) {
		uint8_t *exact;

		len = wire.len - len < step ? wire.len : len + step;
		exact = malloc(len);
		memcpy(exact, wire.data, len);
		r = tcpcrypt_session_receive(receiver.session, exact, len, &rx);
		if (r == TCPCRYPT_AGAIN) {
			assert_true(rx.need > len && rx.need <= TCPCRYPT_RECEIVE_MAX);
			assert_int_equal(rx.consumed, 0);
			assert_memory_equal(exact, wire.data, len);
		}
		free(exact);
	}
	if (vectors_bool(c, "then_fin")) {
		assert_true(r >= 0);
		r = tcpcrypt_session_receive_fin(receiver.session, wire.len - rx.consumed);
	}
	if (strcmp(reaction, "accept") == 0) {
		assert_int_equal(r, 0);
		expect_accepted(c, receiver.session, &rx);
	} else if (strcmp(reaction, "need-more") == 0) {
		assert_int_equal(r, TCPCRYPT_AGAIN);
	} else {
		assert_int_equal(r, error_of(vectors_text(c, "error")));
		expect_dead(receiver.session);
	}
	receiver_free(&receiver);
	free(wire.data);
}

static void run_whole(const json_t *c)
{
	run_pieces(c, SIZE_MAX / 2);
}

static void run_bytes(const json_t *c)
{
	run_pieces(c, 1);
}

static void test_whole(void **state)
{
	vectors_run("init_bad.json", "cases", run_whole);
}

static void test_bytes(void **state)
{
	vectors_run("init_bad.json", "cases", run_bytes);
}

/* D10: the most that a peer can make us wait for. */
static void test_longest(void **state)
{
	uint8_t in[] = { 0x15, 0x10, 0x1a, 0x0e, 0x00, 0x01, 0x00, 0x00 };
	size_t len;

	assert_int_equal(init_measure(INIT1, in, sizeof(in), &len), TCPCRYPT_AGAIN);
	assert_int_equal(len, WIRE_INIT_MAX);
	assert_true(len <= TCPCRYPT_RECEIVE_MAX);
	in[7] = 1;
	assert_int_equal(init_measure(INIT1, in, sizeof(in), &len), TCPCRYPT_E_BAD_INIT);
}

static void test_encode_room(void **state)
{
	uint8_t out[WIRE_INIT_SENT_MAX], key[WIRE_INIT_SENT_MAX] = { 0 };
	uint16_t ciphers[TCPCRYPT_AEADS_MAX] = { 0 };
	struct init_fields fields = {
		.ciphers = ciphers,
		.n_ciphers = TCPCRYPT_AEADS_MAX,
		.nonce = key,
		.public_key = key,
		.public_key_len = TCPCRYPT_PUBLIC_KEY_MAX,
	};
	size_t len = 0;

	assert_int_equal(init_encode(INIT1, &fields, out, &len), 0);
	assert_int_equal(len, WIRE_INIT_SENT_MAX);
	assert_true(len <= TCPCRYPT_OUTPUT_MAX);
	fields.public_key_len++;
	assert_int_equal(init_encode(INIT1, &fields, out, &len), TCPCRYPT_E_ARGUMENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_longest),
		cmocka_unit_test(test_encode_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
