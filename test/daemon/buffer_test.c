// SPDX-License-Identifier: BSD-2-Clause
/* Buffers: wiped when they are given back, kept for the next, and given to the system when nobody wants
 * them. */
#include <stdbool.h>
#include <sys/mman.h>

#include "daemon/buffer.h"
#include "test/unit/unit.h"

#define PAGE 4096

static bool is_mapped(uint8_t *buffer)
{
	unsigned char there;

	return !mincore(buffer - (uintptr_t)buffer % PAGE, PAGE, &there);
}

static void test_whole(void **state)
{
	struct buffer_pool pool = {};
	uint8_t *one = buffer_get(&pool), *other = buffer_get(&pool);

	memset(one, 1, BUFFER_SIZE);
	memset(other, 2, BUFFER_SIZE);
	assert_int_equal(one[0], 1);
	assert_int_equal(one[BUFFER_SIZE - 1], 1);
	buffer_put(&pool, one, BUFFER_SIZE);
	buffer_put(&pool, other, BUFFER_SIZE);
	buffer_put(&pool, NULL, 0);
	buffer_pool_deinit(&pool);
	assert_false(is_mapped(one));
	assert_false(is_mapped(other));
}

static void test_wiped(void **state)
{
	struct buffer_pool pool = {};
	uint8_t *buffer = buffer_get(&pool);

	memset(buffer, 1, 100);
	buffer_put(&pool, buffer, 100);
	assert_ptr_equal(buffer_get(&pool), buffer);
	for (size_t i = 0; i < BUFFER_SIZE; i++)
		assert_int_equal(buffer[i], 0);
	buffer_put(&pool, buffer, 0);
	buffer_pool_deinit(&pool);
}

/* What was wanted since the last tick stays. */
static void test_given_back(void **state)
{
	struct buffer_pool pool = {};
	uint8_t *buffer = buffer_get(&pool);

	buffer_put(&pool, buffer, 0);
	buffer_pool_tick(&pool);
	assert_ptr_equal(buffer_get(&pool), buffer);
	buffer_put(&pool, buffer, 0);
	buffer_pool_tick(&pool);
	assert_true(is_mapped(buffer));
	buffer_pool_tick(&pool);
	assert_false(is_mapped(buffer));
	buffer_pool_deinit(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_wiped),
		cmocka_unit_test(test_given_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
