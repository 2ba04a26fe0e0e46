// SPDX-License-Identifier: BSD-2-Clause
/* The ledger keeps live records, the last thousand ended ones, and totals by reason; addresses
 * go to text and back. */
#include <string.h>

#include "daemon/address.h"
#include "daemon/ledger.h"
#include "test/unit/unit.h"

static int seen[LEDGER_REKEYED + 1];

static void watch(void *data, enum ledger_event event, const struct record *r)
{
	seen[event]++;
}

static void test_life(void **state)
{
	uint64_t begun = 0;
	struct ledger *l = ledger_new(0, &begun);
	struct record encrypted = {}, plain = {}, failed = {};
	struct ledger_totals t = {};

	assert_non_null(l);
	memset(seen, 0, sizeof(seen));
	ledger_set_watcher(l, watch, NULL);
	ledger_begin(l, &encrypted);
	ledger_begin(l, &plain);
	ledger_begin(l, &failed);
	ledger_totals_add(&t, l);
	assert_int_equal(t.live, 3);
	assert_true(encrypted.id < plain.id && plain.id < failed.id);
	ledger_established(l, &encrypted);
	ledger_plain(l, &plain, "no-eno");
	ledger_end(l, &failed, "bad-magic");
	ledger_end(l, &plain, NULL);
	assert_int_equal(ledger_recent_count(l), 2);
	assert_int_equal(ledger_recent(l, 0)->id, failed.id);
	assert_true(ledger_recent(l, 0)->failed);
	/* A plain connection that ended well still says why it was plain. */
	assert_string_equal(ledger_recent(l, 1)->reason, "no-eno");
	memset(&t, 0, sizeof(t));
	ledger_totals_add(&t, l);
	assert_int_equal(t.live, 1);
	assert_int_equal(t.encrypted, 1);
	assert_int_equal(t.plain.n, 1);
	assert_string_equal(t.plain.reason[0], "no-eno");
	assert_int_equal(t.plain.count[0], 1);
	assert_int_equal(t.failed.n, 1);
	assert_string_equal(t.failed.reason[0], "bad-magic");
	assert_int_equal(seen[LEDGER_ESTABLISHED], 1);
	assert_int_equal(seen[LEDGER_PLAIN], 1);
	assert_int_equal(seen[LEDGER_FAILED], 1);
	assert_int_equal(seen[LEDGER_CLOSED], 1);
	ledger_free(l);
}

static void test_workers(void **state)
{
	struct ledger *ledgers[3];
	struct record r[3][2] = {};
	struct ledger_totals t = {};
	uint64_t begun[3] = { 0, 0, 7 };

	for (unsigned int i = 0; i < 3; i++) {
		ledgers[i] = ledger_new(i, &begun[i]);
		assert_non_null(ledgers[i]);
		for (size_t j = 0; j < 2; j++) {
			ledger_begin(ledgers[i], &r[i][j]);
			/* Nobody's id is another's, and it tells whose it is. */
			assert_int_not_equal(r[i][j].id, 0);
			assert_int_equal(shared_flow_slot(r[i][j].id), i);
		}
		assert_true(r[i][0].id < r[i][1].id);
		ledger_end(ledgers[i], &r[i][0], i ? "reset" : "timeout");
		ledger_totals_add(&t, ledgers[i]);
		ledger_free(ledgers[i]);
	}
	/* Whoever has the slot next counts on. */
	assert_int_equal(r[2][0].id, shared_flow_id(8, 2));
	assert_int_equal(begun[2], 9);
	assert_int_equal(t.live, 3);
	assert_int_equal(t.failed.n, 2);
	assert_int_equal(t.failed.count[0], 1);
	assert_string_equal(t.failed.reason[1], "reset");
	assert_int_equal(t.failed.count[1], 2);
}

/* How many were resumed, and why the others were not. */
static void test_resumed(void **state)
{
	uint64_t begun = 0;
	struct ledger *l = ledger_new(0, &begun);
	struct record r[4] = { { .resumed = true },
			       { .not_resumed = "no-session" },
			       { .not_resumed = "busy" },
			       { .not_resumed = "no-session" } };
	struct ledger_totals t = {};

	for (size_t i = 0; i < N_ELEMENTS(r); i++) {
		ledger_begin(l, &r[i]);
		ledger_established(l, &r[i]);
	}
	ledger_totals_add(&t, l);
	assert_int_equal(t.encrypted, 4);
	assert_int_equal(t.resumed, 1);
	assert_int_equal(t.fresh.n, 2);
	assert_string_equal(t.fresh.reason[0], "no-session");
	assert_int_equal(t.fresh.count[0], 2);
	assert_string_equal(t.fresh.reason[1], "busy");
	ledger_free(l);
}

static void test_recent_is_bounded(void **state)
{
	uint64_t begun = 0;
	struct ledger *l = ledger_new(0, &begun);
	struct record r = {};

	for (int i = 0; i < LEDGER_RECENT + 10; i++) {
		ledger_begin(l, &r);
		ledger_end(l, &r, NULL);
	}
	assert_int_equal(ledger_recent_count(l), LEDGER_RECENT);
	assert_int_equal(ledger_recent(l, 0)->id, shared_flow_id(11, 0));
	assert_int_equal(ledger_recent(l, LEDGER_RECENT - 1)->id,
			 shared_flow_id(LEDGER_RECENT + 10, 0));
	ledger_free(l);
}

static void test_address_text(void **state)
{
	static const char *const good[] = { "10.1.2.3:80", "[fd00::1]:65535", "[::1]:0" };
	static const char *const bad[] = {
		"",	     "10.1.2.3",     "10.1.2.3:", "10.1.2.3:70000", "fd00::1:80",
		"[fd00::1]", "[10.1.2.3]:1", ":80",	  "10.1.2.3:80x",   "10.1.2.3:-1"
	};
	char text[ADDRESS_TEXT_MAX];
	struct shared_endpoint e;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(address_parse(good[i], &e), 0);
		address_format(&e, text);
		assert_string_equal(text, good[i]);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_not_equal(address_parse(bad[i], &e), 0);
	/* v4-mapped is IPv4. */
	assert_int_equal(address_parse("[::ffff:10.0.0.1]:5", &e), 0);
	assert_true(address_is_v4(&e));
	address_parse("127.3.2.1:5", &e);
	assert_true(address_is_loopback(&e));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),	     cmocka_unit_test(test_workers),
		cmocka_unit_test(test_resumed),	     cmocka_unit_test(test_recent_is_bounded),
		cmocka_unit_test(test_address_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
