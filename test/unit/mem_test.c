/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cursor.h"
#include "test/unit/unit.h"

static void test_reader(void **state)
{
	static const uint8_t bytes[] = { 1, 2, 3, 4, 5, 6, 7 };
	struct reader r = reader_over(bytes, sizeof(bytes));

	assert_int_equal(reader_u8(&r), 0x01);
	assert_int_equal(reader_u16(&r), 0x0203);
	assert_int_equal(reader_u32(&r), 0x04050607);
	assert_false(r.failed);
	assert_int_equal(r.left, 0);
	assert_non_null(reader_bytes(&r, 0));
	assert_int_equal(reader_u8(&r), 0);
	assert_true(r.failed);
	assert_null(reader_bytes(&r, 0));
	r = reader_over(bytes, 3);
	assert_int_equal(reader_u32(&r), 0);
	assert_true(r.failed);
	assert_int_equal(r.left, 3);
}

static void test_writer(void **state)
{
	static const uint8_t expected[] = { 1, 2, 3, 4, 5, 6, 7 };
	uint8_t out[8] = { 0 };
	struct writer w = writer_over(out, 7);

	writer_u8(&w, 1);
	writer_u16(&w, 0x0203);
	writer_u32(&w, 0x04050607);
	assert_false(w.failed);
	assert_memory_equal(out, expected, sizeof(expected));
	writer_u8(&w, 9);
	assert_true(w.failed);
	assert_int_equal(out[7], 0);
}

static void test_wipe(void **state)
{
	uint8_t secret[] = { 1, 2, 3 };

	mem_wipe(secret, 2);
	assert_memory_equal(secret, ((uint8_t[]){ 0, 0, 3 }), 3);
}

static void test_equal(void **state)
{
	uint8_t a[] = { 1, 2, 3 }, b[] = { 1, 2, 4 };

	assert_true(mem_equal(a, b, 2));
	assert_false(mem_equal(a, b, 3));
	assert_true(mem_equal(a, b, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reader),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_equal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
