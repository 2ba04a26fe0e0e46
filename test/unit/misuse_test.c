/* SPDX-License-Identifier: BSD-2-Clause */
/* Callers that get it wrong, and a backend that fails. */
#include "test/unit/frozen.h"
#include "test/unit/pair_expect.h"

/* Calls out of place change nothing. */
static void test_wrong_state(void **state)
{
	uint8_t frame[100];
	struct tcpcrypt_next_secret next;
	struct tcpcrypt_received rx;
	struct pair pair;
	size_t len;

	assert_int_equal(pair_init(&pair, &usual), 0);
	assert_null(info_of(&pair.a).session_id); /* 8547-5.1-3 */
	assert_false(tcpcrypt_session_can_send(pair.a.session));
	assert_int_equal(tcpcrypt_session_send(pair.a.session, frame, 0, 0, 0, &len),
			 TCPCRYPT_E_STATE);
	assert_int_equal(tcpcrypt_session_rekey(pair.a.session), TCPCRYPT_E_STATE);
	assert_int_equal(tcpcrypt_session_next_secret(pair.a.session, &next), TCPCRYPT_E_STATE);
	pair_flush(&pair.a);
	pair_deliver(&pair, &pair.a, ALL);
	/* Init2 goes out before any frame. */
	assert_true(tcpcrypt_session_can_send(pair.b.session));
	assert_int_equal(tcpcrypt_session_send(pair.b.session, frame, 0, 0, 0, &len),
			 TCPCRYPT_E_STATE);
	pair_run(&pair, ALL);
	assert_int_equal(tcpcrypt_session_output(pair.a.session, frame, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(tcpcrypt_session_receive(pair.a.session, frame, 0, &rx), TCPCRYPT_AGAIN);
	assert_int_equal(tcpcrypt_session_send(pair.a.session, frame, 65519, 0, 0, &len),
			 TCPCRYPT_E_ARGUMENT);
	assert_int_equal(tcpcrypt_session_send_from(pair.a.session, frame, frame, 65519, 0, 0,
						    &len),
			 TCPCRYPT_E_ARGUMENT);
	say(&pair.a, "works", 0);
	pair_run(&pair, ALL);
	expect_delivered(&pair.a, &pair.b);
	pair_deinit(&pair);
}

/* An Init2 that comes before Init1 was even written cannot be an answer to it. */
static void test_early_init2(void **state)
{
	struct pair one, other;
	struct tcpcrypt_received rx;

	assert_int_equal(pair_init(&one, &usual), 0);
	assert_int_equal(pair_init(&other, &usual), 0);
	pair_flush(&other.a);
	pair_deliver(&other, &other.a, ALL);
	pair_flush(&other.b);
	assert_int_equal(tcpcrypt_session_receive(one.a.session, other.b.wire.data,
						  other.b.wire.len, &rx),
			 TCPCRYPT_E_BAD_INIT);
	pair_deinit(&one);
	pair_deinit(&other);
}

static void test_bad_params(void **state)
{
	const uint8_t transcript[] = { 1 };
	const uint16_t good = 1, unknown = 3;
	struct tcpcrypt_resumption resume = { .aead = 1 };
	const struct tcpcrypt_session_params valid = {
		.size = sizeof(valid),
		.crypto = tcpcrypt_crypto_openssl(),
		.tep_byte = 0x23,
		.transcript = transcript,
		.transcript_len = 1,
		.aeads = &good,
		.n_aeads = 1,
	};
	struct tcpcrypt_session_params bad[10];
	int error;

	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		bad[i] = valid;
	bad[0].size--;
	bad[1].crypto = NULL;
	bad[2].tep_byte = 0x20;
	bad[3].tep_byte = 0xa3;
	bad[4].resume = &resume;
	bad[5].transcript_len = TCPCRYPT_TRANSCRIPT_MAX + 1;
	bad[6].n_aeads = 0;
	bad[7].aeads = &unknown;
	bad[8].n_aeads = TCPCRYPT_AEADS_MAX + 1;
	bad[9].role = (enum tcpcrypt_role)2;
	for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
		if (bad[i].crypto)
			bad[i].crypto->keypair_new(0x23, &bad[i].keypair);
		assert_null(tcpcrypt_session_new(&bad[i], &error));
		assert_int_equal(error, TCPCRYPT_E_ARGUMENT);
	}
	resume.nonces_len = 17;
	bad[4].tep_byte = 0xa3;
	bad[4].keypair = NULL;
	assert_null(tcpcrypt_session_new(&bad[4], &error));
	tcpcrypt_session_free(NULL);
	tcpcrypt_session_deinit(NULL);
}

/* A backend that fails anywhere: an error, no leak, no data; 8548-8-4. */
static void test_failing_backend(void **state)
{
	unsigned int n = 0, calls = 1;

	for (n = 1; n <= calls; n++) {
		struct pair_params params = usual;
		struct pair pair;

		params.crypto = frozen_failing(n);
		if (pair_init(&pair, &params) == 0) {
			pair_run(&pair, ALL);
			if (tcpcrypt_session_can_send(pair.a.session)) {
				tcpcrypt_session_rekey(pair.a.session);
				pair_send(&pair.a, (const uint8_t *)"x", 1, 0, 0);
				pair_run(&pair, ALL);
			}
		}
		if (frozen_calls() >= n)
			assert_true(pair.a.error || pair.b.error);
		if (frozen_calls() > calls)
			calls = frozen_calls();
		if (n == 1)
			calls = 30;
		pair_deinit(&pair);
	}
	assert_true(n > 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_wrong_state),
		cmocka_unit_test(test_early_init2),
		cmocka_unit_test(test_bad_params),
		cmocka_unit_test(test_failing_backend),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
