/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a session ends, its secrets end: in its own memory and wherever they were copied. */
#include "core/session_state.h"
#include "test/unit/pair_expect.h"

static bool all_zero(const void *memory, size_t len)
{
	const uint8_t *bytes = memory;

	while (len && !bytes[len - 1])
		len--;
	return len == 0;
}

/* A copy of what lies in a session's memory, which the session itself never shows. */
static struct tcpcrypt_session look(const struct pair_end *end)
{
	return *end->session;
}

static void expect_no_secrets(const struct tcpcrypt_session *s)
{
	assert_true(all_zero(&s->exchange, sizeof(s->exchange)));
	assert_true(all_zero(s->next_secret, sizeof(s->next_secret)));
	assert_true(all_zero(s->tx.master, sizeof(s->tx.master)));
	assert_true(all_zero(s->rx.master, sizeof(s->rx.master)));
	assert_true(all_zero(s->tx.randomizer, sizeof(s->tx.randomizer)));
	assert_true(all_zero(s->rx.randomizer, sizeof(s->rx.randomizer)));
	assert_null(s->tx.aead);
	assert_null(s->rx.aead);
}

/* 8547-5-8: once closed nothing is left, not even what is no secret. */
static void test_deinit(void **state)
{
	struct tcpcrypt_session s;
	struct pair pair;

	start(&pair, &usual);
	s = look(&pair.a);
	assert_false(all_zero(s.tx.master, sizeof(s.tx.master)));
	assert_false(all_zero(s.next_secret, sizeof(s.next_secret)));
	tcpcrypt_session_deinit(pair.a.session);
	s = look(&pair.a);
	assert_true(all_zero(&s, sizeof(s)));
	pair_deinit(&pair);
}

/* 8547-5-8: a session that failed may be asked for its ID and holds no key any more. */
static void test_failure(void **state)
{
	struct tcpcrypt_session_info info;
	struct tcpcrypt_received rx;
	uint8_t forged[64] = { 0, 0, 61 };
	struct tcpcrypt_session s;
	struct pair pair;

	start(&pair, &usual);
	assert_int_equal(tcpcrypt_session_receive(pair.b.session, forged, sizeof(forged), &rx),
			 TCPCRYPT_E_AUTH);
	s = look(&pair.b);
	expect_no_secrets(&s);
	tcpcrypt_session_info(pair.b.session, &info);
	assert_non_null(info.session_id);
	pair_deinit(&pair);
}

/* Key pair, nonce and Init message are gone as soon as the keys are there. */
static void test_established(void **state)
{
	struct tcpcrypt_session a, b;
	struct pair pair;

	start(&pair, &usual);
	a = look(&pair.a);
	b = look(&pair.b);
	assert_true(all_zero(&a.exchange, sizeof(a.exchange)));
	assert_true(all_zero(&b.exchange, sizeof(b.exchange)));
	pair_deinit(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deinit),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_established),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
