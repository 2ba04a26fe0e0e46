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
	struct ledger *l = ledger_new();
	struct record encrypted = {}, plain = {}, failed = {};
	const char *reason;
	uint64_t count;

	assert_non_null(l);
	memset(seen, 0, sizeof(seen));
	ledger_set_watcher(l, watch, NULL);
	ledger_begin(l, &encrypted);
	ledger_begin(l, &plain);
	ledger_begin(l, &failed);
	assert_int_equal(ledger_live_count(l), 3);
	assert_true(encrypted.id < plain.id && plain.id < failed.id);
	ledger_established(l, &encrypted);
	ledger_plain(l, &plain, "no-eno");
	ledger_end(l, &failed, "bad-magic");
	ledger_end(l, &plain, NULL);
	assert_ptr_equal(TAILQ_FIRST(ledger_live(l)), &encrypted);
	assert_int_equal(ledger_live_count(l), 1);
	assert_int_equal(ledger_recent_count(l), 2);
	assert_int_equal(ledger_recent(l, 0)->id, failed.id);
	assert_true(ledger_recent(l, 0)->failed);
	/* A plain connection that ended well still says why it was plain. */
	assert_string_equal(ledger_recent(l, 1)->reason, "no-eno");
	assert_int_equal(ledger_total_encrypted(l), 1);
	reason = ledger_total_plain(l, 0, &count);
	assert_string_equal(reason, "no-eno");
	assert_int_equal(count, 1);
	assert_null(ledger_total_plain(l, 1, &count));
	assert_string_equal(ledger_total_failed(l, 0, &count), "bad-magic");
	assert_int_equal(seen[LEDGER_ESTABLISHED], 1);
	assert_int_equal(seen[LEDGER_PLAIN], 1);
	assert_int_equal(seen[LEDGER_FAILED], 1);
	assert_int_equal(seen[LEDGER_CLOSED], 1);
	ledger_free(l);
}

static void test_recent_is_bounded(void **state)
{
	struct ledger *l = ledger_new();
	struct record r = {};

	for (int i = 0; i < LEDGER_RECENT + 10; i++) {
		ledger_begin(l, &r);
		ledger_end(l, &r, NULL);
	}
	assert_int_equal(ledger_recent_count(l), LEDGER_RECENT);
	assert_int_equal(ledger_recent(l, 0)->id, 11);
	assert_int_equal(ledger_recent(l, LEDGER_RECENT - 1)->id, LEDGER_RECENT + 10);
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
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_recent_is_bounded),
		cmocka_unit_test(test_address_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
