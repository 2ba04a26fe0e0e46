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

/* What an end told of its keys. */
struct told {
	unsigned int n;
	struct tcpcrypt_keylog log;
	uint8_t session_id[TCPCRYPT_SESSION_ID_LEN], master[TCPCRYPT_SECRET_LEN];
};

static void tell(void *data, const struct tcpcrypt_keylog *secrets)
{
	struct told *told = data;

	told->n++;
	told->log = *secrets;
	memcpy(told->session_id, secrets->session_id, sizeof(told->session_id));
	memcpy(told->master, secrets->master, sizeof(told->master));
}

/* Opens the first frame on an end's wire with nothing but what was told. */
static void expect_opens(const struct told *told, struct pair_end *end, const char *text)
{
	struct frame_content content;
	struct rekey_direction d;

	assert_int_equal(rekey_init(&d, tcpcrypt_crypto_openssl(), told->log.aead, told->master,
				    told->log.sends_as == TCPCRYPT_ROLE_A ? WIRE_CONST_KEY_A
									  : WIRE_CONST_KEY_B,
				    told->log.tx_offset),
			 0);
	assert_int_equal(rekey_open(&d, &d, tcpcrypt_crypto_openssl(), end->wire.data,
				    end->wire.len, &content),
			 0);
	assert_int_equal(content.data_len, strlen(text));
	assert_memory_equal(content.data, text, content.data_len);
	rekey_deinit(&d, tcpcrypt_crypto_openssl());
}

/* 8547-5-6: both ends tell the same, once, and it is enough to read what they say. */
static void test_keylog(void **state)
{
	struct told a = { 0 }, b = { 0 };
	struct pair_params params = usual;
	struct pair pair;

	params.keylog = tell;
	params.keylog_data[TCPCRYPT_ROLE_A] = &a;
	params.keylog_data[TCPCRYPT_ROLE_B] = &b;
	start(&pair, &params);
	assert_int_equal(a.n, 1);
	assert_int_equal(b.n, 1);
	assert_memory_equal(a.master, b.master, sizeof(a.master));
	assert_memory_equal(a.session_id, info_of(&pair.b).session_id, sizeof(a.session_id));
	assert_int_equal(a.log.aead, params.aead);
	assert_int_not_equal(a.log.sends_as, b.log.sends_as);
	assert_int_equal(a.log.tx_offset, b.log.rx_offset);
	assert_int_equal(a.log.rx_offset, b.log.tx_offset);
	say(&pair.a, "from a", 0);
	say(&pair.b, "and from b", 0);
	expect_opens(&a, &pair.a, "from a");
	expect_opens(&b, &pair.b, "and from b");
	pair_deinit(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deinit),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_established),
		cmocka_unit_test(test_keylog),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
