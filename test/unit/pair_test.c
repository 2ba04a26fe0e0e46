/* SPDX-License-Identifier: BSD-2-Clause */
/* Two sessions against each other, over a wire that is cut, changed and ended. */
#include "core/session_state.h"
#include "test/unit/pair_expect.h"

static const uint8_t teps[] = { TCPCRYPT_TEP_P256, TCPCRYPT_TEP_P521, TCPCRYPT_TEP_X25519,
				TCPCRYPT_TEP_X448 };
static const uint16_t aeads[] = { TCPCRYPT_AEAD_AES_128_GCM, TCPCRYPT_AEAD_AES_256_GCM,
				  TCPCRYPT_AEAD_CHACHA20_POLY1305 };

/* 8548-3.2-6, 8548-3.3-7, 8548-5-7, 8548-5-9, 8548-6-1, 8548-6-3, 8547-5.1-1: all of them. */
static void test_all_algorithms(void **state)
{
	for (size_t t = 0; t < N_ELEMENTS(teps); t++) {
		for (size_t a = 0; a < N_ELEMENTS(aeads); a++) {
			struct pair_params params = { .tep = teps[t], .aead = aeads[a] };
			struct pair pair;

			start(&pair, &params);
			assert_int_equal(info_of(&pair.a).aead, aeads[a]);
			assert_int_equal(info_of(&pair.b).tep, teps[t]);
			assert_memory_equal(info_of(&pair.a).session_id,
					    info_of(&pair.b).session_id, TCPCRYPT_SESSION_ID_LEN);
			say(&pair.a, "from a", TCPCRYPT_TX_FIN);
			say(&pair.b, "from b", TCPCRYPT_TX_FIN);
			pair_run(&pair, ALL);
			expect_delivered(&pair.a, &pair.b);
			expect_delivered(&pair.b, &pair.a);
			assert_int_equal(pair_fin(&pair.a), 0);
			assert_int_equal(pair_fin(&pair.b), 0);
			pair_deinit(&pair);
		}
	}
}

/* 8548-3.3-3, 8547-5-3, 8547-5.1-5: keys and session IDs are new every time. */
static void test_sessions_differ(void **state)
{
	struct pair first, second;

	start(&first, &usual);
	start(&second, &usual);
	assert_memory_not_equal(info_of(&first.a).session_id, info_of(&second.a).session_id,
				TCPCRYPT_SESSION_ID_LEN);
	assert_int_equal(info_of(&first.a).session_id[0], TCPCRYPT_TEP_X25519);
	pair_deinit(&first);
	pair_deinit(&second);
}

/* 8548-3.3-1: any pieces, the smallest included. */
static void test_chunks(void **state)
{
	static const size_t steps[] = { 1, 2, 3, 7, 19, 20, 21, 100 };
	char text[200];

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (size_t i = 0; i < N_ELEMENTS(steps); i++) {
		struct pair pair;

		assert_int_equal(pair_init(&pair, &usual), 0);
		pair_run(&pair, steps[i]);
		assert_int_equal(pair.a.established, 1);
		assert_int_equal(pair.b.established, 1);
		say(&pair.a, "", 0);
		say(&pair.a, text, 0);
		say(&pair.b, "answer", TCPCRYPT_TX_FIN);
		say(&pair.a, "end", TCPCRYPT_TX_FIN);
		pair_run(&pair, steps[i]);
		expect_delivered(&pair.a, &pair.b);
		expect_delivered(&pair.b, &pair.a);
		pair_deinit(&pair);
	}
}

static void test_random_chunks(void **state)
{
	srand(1);
	for (int round = 0; round < 50; round++) {
		struct pair pair;

		start(&pair, &usual);
		for (int i = 0; i < 20; i++) {
			uint8_t data[512];

			memset(data, i, sizeof(data));
			assert_int_equal(pair_send(&pair.a, data, (size_t)rand() % 512, 0, 0), 0);
			pair_deliver(&pair, &pair.a, (size_t)rand() % 700);
		}
		say(&pair.a, "", TCPCRYPT_TX_FIN);
		pair_run(&pair, (size_t)rand() % 50 + 1);
		expect_delivered(&pair.a, &pair.b);
		pair_deinit(&pair);
	}
}

/* Megabytes both ways at once in frames of all sizes, new keys on the way. */
static void test_large_transfer(void **state)
{
	struct pair_params params = usual;
	uint8_t *data = malloc(TCPCRYPT_FRAME_DATA_MAX);
	struct pair pair;

	params.rekey_bytes = 300000;
	start(&pair, &params);
	for (int i = 0; i < 40; i++) {
		size_t len = (size_t)(i % 4 ? TCPCRYPT_FRAME_DATA_MAX : 1400 * i);

		memset(data, i, len);
		assert_int_equal(pair_send(&pair.a, data, len, i == 39 ? TCPCRYPT_TX_FIN : 0, 0),
				 0);
		assert_int_equal(pair_send(&pair.b, data, len, i == 39 ? TCPCRYPT_TX_FIN : 0, 0),
				 0);
		pair_run(&pair, 60000);
	}
	expect_delivered(&pair.a, &pair.b);
	expect_delivered(&pair.b, &pair.a);
	assert_true(info_of(&pair.a).local_generation >= 6);
	assert_int_equal(info_of(&pair.a).app_bytes_out, pair.a.sent.len);
	assert_int_equal(info_of(&pair.b).app_bytes_in, pair.a.sent.len);
	free(data);
	pair_deinit(&pair);
}

/* 8548-3.8-1, 8548-3.8-2, 8548-3.8-4, 8548-3.8-5, 8548-3.9-1, 8548-3.9-2, 8548-3.9-3: a probe
 * and its answer. */
static void test_rekey(void **state)
{
	struct pair pair;

	start(&pair, &usual);
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), 0);
	assert_true(tcpcrypt_session_has_output(pair.a.session));
	/* 8548-3.8-6: not a second time before the peer answered. */
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), TCPCRYPT_AGAIN);
	pair_flush(&pair.a);
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), TCPCRYPT_AGAIN);
	pair_run(&pair, ALL);
	assert_int_equal(pair.a.rekeyed, 1);
	assert_int_equal(pair.b.rekeyed, 1);
	assert_int_equal(info_of(&pair.a).remote_generation, 1);
	assert_int_equal(info_of(&pair.b).local_generation, 1);
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), 0);
	say(&pair.a, "rides along", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	expect_delivered(&pair.a, &pair.b);
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), TCPCRYPT_AGAIN);
	pair_deinit(&pair);
}

/* Both start at once: the two steps are one and the same, and neither is answered. */
static void test_rekey_crossing(void **state)
{
	struct pair pair;
	size_t writes;

	start(&pair, &usual);
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), 0);
	assert_int_equal(tcpcrypt_session_rekey(pair.b.session), 0);
	say(&pair.a, "crossing", 0);
	pair_flush(&pair.b);
	writes = pair.a.writes + pair.b.writes;
	pair_run(&pair, ALL);
	assert_int_equal(pair.a.writes + pair.b.writes, writes);
	assert_int_equal(info_of(&pair.a).local_generation, 1);
	assert_int_equal(info_of(&pair.b).remote_generation, 1);
	say(&pair.b, "after", 0);
	pair_run(&pair, ALL);
	expect_delivered(&pair.a, &pair.b);
	expect_delivered(&pair.b, &pair.a);
	pair_deinit(&pair);
}

/* What an end has computed. */
struct work {
	unsigned int hashes, keys, frames;
};

static struct work work;

static int count_hmac(const uint8_t *key, size_t key_len, const struct tcpcrypt_span *spans,
		      size_t n, uint8_t out[TCPCRYPT_HASH_LEN])
{
	work.hashes++;
	return tcpcrypt_crypto_openssl()->hmac(key, key_len, spans, n, out);
}

static int count_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key)
{
	work.keys++;
	return tcpcrypt_crypto_openssl()->aead_set_key(ctx, key);
}

static int count_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		      const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		      const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	work.frames++;
	return tcpcrypt_crypto_openssl()->aead_seal(ctx, nonce, aad, aad_len, data, len, text, tag);
}

static int count_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		      const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		      const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	work.frames++;
	return tcpcrypt_crypto_openssl()->aead_open(ctx, nonce, aad, aad_len, data, len, tag);
}

/* Who begins a key update and takes its answer computes as much as who answers: three hashes,
 * two keys, two frames. */
static void test_rekey_costs(void **state)
{
	struct tcpcrypt_crypto counting = *tcpcrypt_crypto_openssl();
	struct pair_params params = usual;
	struct work begin, answer;
	struct pair pair;

	counting.hmac = count_hmac;
	counting.aead_set_key = count_set_key;
	counting.aead_seal = count_seal;
	counting.aead_open = count_open;
	params.crypto = &counting;
	start(&pair, &params);
	work = (struct work){ 0 };
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), 0);
	pair_flush(&pair.a);
	begin = work;
	pair_deliver(&pair, &pair.a, ALL);
	pair_flush(&pair.b);
	answer = (struct work){ work.hashes - begin.hashes, work.keys - begin.keys,
				work.frames - begin.frames };
	work = begin;
	pair_deliver(&pair, &pair.b, ALL);
	assert_int_equal(info_of(&pair.a).remote_generation, 1);
	assert_int_equal(work.hashes, 3);
	assert_int_equal(answer.hashes, 3);
	assert_int_equal(work.keys, 2);
	assert_int_equal(answer.keys, 2);
	assert_int_equal(work.frames, 2);
	assert_int_equal(answer.frames, 2);
	pair_deinit(&pair);
}

/* A storm: every frame at a new generation, unanswered for long; 8548-3.8-3, 8548-3.8-5. */
static void test_rekey_storm(void **state)
{
	struct pair_params params = usual;
	struct pair pair;

	params.rekey_bytes = 1;
	start(&pair, &params);
	for (int i = 0; i < 100; i++)
		say(&pair.a, "x", 0);
	assert_int_equal(info_of(&pair.a).local_generation, 99);
	pair_deliver(&pair, &pair.a, ALL);
	assert_int_equal(info_of(&pair.b).local_generation, 99);
	/* The first answer rides on data, the others follow in bounded pieces. */
	uint8_t frame[64] = { 0 }, out[TCPCRYPT_OUTPUT_MAX];
	size_t len;
	assert_int_equal(tcpcrypt_session_send(pair.b.session, frame, 1, 0, 0, &len), 0);
	assert_int_equal(frame[0], WIRE_CONTROL_REKEY);
	pair_append(&pair.b.wire, frame, len);
	pair_append(&pair.b.sent, (const uint8_t[]){ 0 }, 1);
	assert_int_equal(tcpcrypt_session_output(pair.b.session, out, &len), 0);
	assert_true(len > 0 && len <= TCPCRYPT_OUTPUT_MAX && len % WIRE_FRAME_EMPTY_LEN == 0);
	pair_append(&pair.b.wire, out, len);
	pair_run(&pair, ALL);
	assert_int_equal(info_of(&pair.a).remote_generation, 99);
	say(&pair.b, "after the storm", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	expect_delivered(&pair.b, &pair.a);
	pair_deinit(&pair);
}

/* 8548-3.8-6: without data no second step, however small the limit. */
static void test_no_second_empty_rekey(void **state)
{
	struct pair_params params = usual;
	struct pair pair;

	params.rekey_bytes = 1;
	start(&pair, &params);
	for (int i = 0; i < 5; i++)
		say(&pair.a, "", 0);
	assert_int_equal(info_of(&pair.a).local_generation, 1);
	pair_deinit(&pair);
}

/* D17: who has sent FINp follows the generation and stays silent; 8548-3.7-1. */
static void test_rekey_after_fin(void **state)
{
	struct pair pair;

	start(&pair, &usual);
	say(&pair.a, "done", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	assert_int_equal(tcpcrypt_session_rekey(pair.b.session), 0);
	say(&pair.b, "still here", 0);
	pair_run(&pair, ALL);
	expect_delivered(&pair.b, &pair.a);
	assert_int_equal(info_of(&pair.a).local_generation, 1);
	assert_false(tcpcrypt_session_has_output(pair.a.session));
	assert_false(tcpcrypt_session_can_send(pair.a.session));
	assert_int_equal(pair_send(&pair.a, NULL, 0, 0, 0), TCPCRYPT_E_STATE);
	pair_deinit(&pair);
}

/* D12, 8547-5-13, 8547-5-14: urgent data is where the sender said and nowhere else. */
static void test_urgent(void **state)
{
	struct pair pair;

	start(&pair, &usual);
	say(&pair.a, "0123456789", 0);
	assert_int_equal(pair_send(&pair.a, (const uint8_t *)"urgent", 6, TCPCRYPT_TX_URGENT, 5),
			 0);
	say(&pair.a, "rest", TCPCRYPT_TX_FIN);
	pair_run(&pair, 1);
	expect_delivered(&pair.a, &pair.b);
	assert_int_equal(pair.b.n_urgent, 1);
	assert_int_equal(pair.b.urgent_index, 15);
	pair_deinit(&pair);
}

/* The bytes of a whole conversation of host A, to be played to fresh ends by replay. */
static void talk(struct pair *pair)
{
	say(&pair->a, "first", 0);
	tcpcrypt_session_rekey(pair->a.session);
	say(&pair->a, "second", 0);
	say(&pair->a, "last", TCPCRYPT_TX_FIN);
}

/* 8548-3.7-2, 8548-3.7-3, 8548-8-1, 8547-5-10, 8547-5-11, 8547-5-12: cut anywhere, it is no end of file. */
static void test_truncation(void **state)
{
	size_t total = SIZE_MAX;

	for (size_t cut = 0; cut < total; cut++) {
		struct pair pair;

		start(&pair, &usual);
		talk(&pair);
		total = pair.a.wire.len;
		pair_deliver(&pair, &pair.a, cut);
		assert_int_equal(pair.b.error, 0);
		assert_false(pair.b.eof);
		if (pair.b.received.len)
			assert_memory_equal(pair.b.received.data, pair.a.sent.data,
					    pair.b.received.len);
		assert_int_equal(pair_fin(&pair.b), TCPCRYPT_E_TRUNCATED);
		assert_false(tcpcrypt_session_can_send(pair.b.session));
		pair_deinit(&pair);
	}
	assert_in_range(total, 70, 200);
}

/* 8548-3.7-3: a FIN inside the key exchange is an error, too. */
static void test_truncated_init(void **state)
{
	for (size_t cut = 0; cut < 60; cut++) {
		struct pair pair;

		assert_int_equal(pair_init(&pair, &usual), 0);
		pair_flush(&pair.a);
		pair_deliver(&pair, &pair.a, cut);
		assert_int_equal(pair_fin(&pair.b), TCPCRYPT_E_TRUNCATED);
		pair_deinit(&pair);
	}
}

/* 8548-3.6-5, 8547-5-2: every bit of every frame. */
static void test_flipped_frames(void **state)
{
	size_t total = SIZE_MAX;

	for (size_t bit = 0; bit / 8 < total; bit++) {
		struct pair pair;

		start(&pair, &usual);
		talk(&pair);
		total = pair.a.wire.len;
		pair.a.wire.data[bit / 8] ^= 1 << bit % 8;
		pair_run(&pair, ALL);
		assert_false(pair.b.eof);
		assert_true(pair.b.received.len < pair.a.sent.len);
		if (pair.b.received.len)
			assert_memory_equal(pair.b.received.data, pair.a.sent.data,
					    pair.b.received.len);
		/* Abort at once, or wait for a frame that will never be complete. */
		assert_true(pair.b.error == TCPCRYPT_E_AUTH ||
			    pair.b.error == TCPCRYPT_E_BAD_FRAME || pair.b.in.len > 0);
		pair_deinit(&pair);
	}
}

/* 8547-4.8-1: every bit of both Init messages; no data crosses and no end is believed. */
static void flip_init(bool of_a, size_t bit, size_t *ret_total)
{
	struct pair pair;
	struct pair_end *from = of_a ? &pair.a : &pair.b;

	assert_int_equal(pair_init(&pair, &usual), 0);
	pair_flush(&pair.a);
	if (!of_a) {
		pair_deliver(&pair, &pair.a, ALL);
		pair_flush(&pair.b);
	}
	*ret_total = from->wire.len;
	from->wire.data[bit / 8] ^= 1 << bit % 8;
	pair_run(&pair, ALL);
	if (tcpcrypt_session_can_send(pair.a.session))
		say(&pair.a, "secret", TCPCRYPT_TX_FIN);
	if (tcpcrypt_session_can_send(pair.b.session))
		say(&pair.b, "secret", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	assert_int_equal(pair.a.received.len, 0);
	assert_int_equal(pair.b.received.len, 0);
	assert_false(pair.a.eof || pair.b.eof);
	pair_deinit(&pair);
}

static void test_flipped_inits(void **state)
{
	size_t total = 1;

	for (size_t bit = 0; bit / 8 < total; bit++)
		flip_init(true, bit, &total);
	assert_int_equal(total, 75);
	for (size_t bit = 0; bit / 8 < total; bit++)
		flip_init(false, bit, &total);
	assert_int_equal(total, 74);
}

/* 8547-4.8-1, 8547-4.8-2: hosts that saw different SYN options cannot talk. */
static void test_transcripts_differ(void **state)
{
	struct pair pair;

	assert_int_equal(pair_init(&pair, &usual), 0);
	pair.b.session->exchange.transcript[1] ^= 1;
	pair_run(&pair, ALL);
	say(&pair.a, "hello", 0);
	pair_run(&pair, ALL);
	assert_int_equal(pair.b.error, TCPCRYPT_E_AUTH);
	pair_deinit(&pair);
}

/* One direction ends, the other goes on; TCP's FIN twice is no harm. */
static void test_half_close(void **state)
{
	struct tcpcrypt_received rx;
	struct pair pair;
	uint8_t byte = 0;

	start(&pair, &usual);
	say(&pair.b, "bye", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	assert_true(pair.a.eof);
	assert_int_equal(pair_fin(&pair.a), 0);
	assert_int_equal(pair_fin(&pair.a), 0);
	say(&pair.a, "still talking", 0);
	say(&pair.a, "done", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	expect_delivered(&pair.a, &pair.b);
	assert_int_equal(pair_fin(&pair.b), 0);
	assert_int_equal(tcpcrypt_session_receive(pair.b.session, &byte, 1, &rx), TCPCRYPT_E_STATE);
	pair_deinit(&pair);
}

/* 8548-4.1-2, D10: the longest Init1 that is accepted, nearly all of it ignored bytes. */
static void test_longest_init(void **state)
{
	static uint8_t ignored[WIRE_INIT_MAX];
	struct pair pair;

	assert_int_equal(pair_init(&pair, &usual), 0);
	pair_flush(&pair.a);
	memcpy(pair.a.wire.data + 4, (const uint8_t[]){ 0, 1, 0, 0 }, 4);
	pair_append(&pair.a.wire, ignored, WIRE_INIT_MAX - pair.a.wire.len);
	pair_run(&pair, 20000);
	assert_int_equal(pair.b.established, 1);
	assert_int_equal(pair.b.session->rx.offset, WIRE_INIT_MAX);
	pair_deinit(&pair);
}

/* D11 */
static void test_after_fin(void **state)
{
	struct pair pair;

	start(&pair, &usual);
	say(&pair.a, "all", TCPCRYPT_TX_FIN);
	pair_append(&pair.a.wire, (const uint8_t *)"x", 1);
	pair_run(&pair, ALL);
	assert_true(pair.b.eof);
	assert_int_equal(pair.b.error, TCPCRYPT_E_AFTER_FIN);
	pair_deinit(&pair);
	start(&pair, &usual);
	say(&pair.a, "all", TCPCRYPT_TX_FIN);
	pair_run(&pair, ALL);
	assert_int_equal(tcpcrypt_session_receive_fin(pair.b.session, 1), TCPCRYPT_E_AFTER_FIN);
	pair_deinit(&pair);
}

/* 8548-3.5-17, 8548-3.5-21, 8548-3.5-25: a chain of resumed sessions, roles swapped midway. */
static void test_resumption(void **state)
{
	uint8_t last_id[TCPCRYPT_SESSION_ID_LEN] = { 0 };
	struct tcpcrypt_resumption resume_a, resume_b;
	struct pair_params params = usual;

	for (int i = 0; i < 4; i++) {
		struct tcpcrypt_next_secret next_a, next_b;
		struct pair pair;

		start(&pair, &params);
		assert_int_equal(info_of(&pair.a).resumed, i > 0);
		assert_memory_equal(info_of(&pair.a).session_id, info_of(&pair.b).session_id, 33);
		assert_memory_not_equal(info_of(&pair.a).session_id, last_id, 33);
		memcpy(last_id, info_of(&pair.a).session_id, 33);
		assert_int_equal(last_id[0], i ? 0xa3 : 0x23);
		say(&pair.a, "ping", TCPCRYPT_TX_FIN);
		say(&pair.b, "pong", TCPCRYPT_TX_FIN);
		pair_run(&pair, ALL);
		expect_delivered(&pair.a, &pair.b);
		expect_delivered(&pair.b, &pair.a);
		assert_int_equal(tcpcrypt_session_next_secret(pair.a.session, &next_a), 0);
		assert_int_equal(tcpcrypt_session_next_secret(pair.b.session, &next_b), 0);
		assert_memory_equal(next_a.secret, next_b.secret, sizeof(next_a.secret));
		assert_memory_equal(next_a.identifier, next_b.identifier, 18);
		assert_int_not_equal(next_a.original_role, next_b.original_role);
		/* After the second session the original B is the one that opens. */
		resume_a = (struct tcpcrypt_resumption){ .aead = next_a.aead, .nonces_len = 3 };
		memcpy(resume_a.secret, next_a.secret, sizeof(next_a.secret));
		resume_b = resume_a;
		resume_a.original_role = i == 1 ? next_b.original_role : next_a.original_role;
		resume_b.original_role = i == 1 ? next_a.original_role : next_b.original_role;
		params.resume_a = &resume_a;
		params.resume_b = &resume_b;
		pair_deinit(&pair);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_algorithms),
		cmocka_unit_test(test_sessions_differ),
		cmocka_unit_test(test_chunks),
		cmocka_unit_test(test_random_chunks),
		cmocka_unit_test(test_large_transfer),
		cmocka_unit_test(test_rekey),
		cmocka_unit_test(test_rekey_crossing),
		cmocka_unit_test(test_rekey_costs),
		cmocka_unit_test(test_rekey_storm),
		cmocka_unit_test(test_no_second_empty_rekey),
		cmocka_unit_test(test_rekey_after_fin),
		cmocka_unit_test(test_urgent),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_truncated_init),
		cmocka_unit_test(test_flipped_frames),
		cmocka_unit_test(test_flipped_inits),
		cmocka_unit_test(test_transcripts_differ),
		cmocka_unit_test(test_half_close),
		cmocka_unit_test(test_longest_init),
		cmocka_unit_test(test_after_fin),
		cmocka_unit_test(test_resumption),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
