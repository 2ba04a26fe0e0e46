// SPDX-License-Identifier: BSD-2-Clause
/* How long destinations are remembered that swallow SYNs with ENO (8547-4.6-5). */
#include "engine/expiry.h"
#include "test/unit/unit.h"

static void test_doubles(void **state)
{
	assert_int_equal(expiry_next(0, 600), 600);
	assert_int_equal(expiry_next(600, 600), 1200);
	assert_int_equal(expiry_next(1200, 600), 2400);
}

static void test_ends_at_a_day(void **state)
{
	unsigned int seconds = 0;

	for (int i = 0; i < 64; i++)
		seconds = expiry_next(seconds, 600);
	assert_int_equal(seconds, 24 * 60 * 60);
	assert_int_equal(expiry_next(24 * 60 * 60 - 1, 600), 24 * 60 * 60);
}

static void test_configured(void **state)
{
	/* Never shorter than configured, even if that is more than a day; 0 is never. */
	assert_int_equal(expiry_next(0, 1000000), 1000000);
	assert_int_equal(expiry_next(1000000, 1000000), 1000000);
	assert_int_equal(expiry_next(600, 10000), 10000);
	assert_int_equal(expiry_next(0, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_ends_at_a_day),
		cmocka_unit_test(test_configured),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
