// SPDX-License-Identifier: BSD-2-Clause
/* What the C library has in a list of file actions is read as it was put in. */
#include <fcntl.h>

#include "inproc/spawn_actions.h"
#include "test/unit/unit.h"

static void test_legible(void **state)
{
	assert_true(spawn_actions_legible());
	assert_true(spawn_actions_legible());
}

static void test_none(void **state)
{
	posix_spawn_file_actions_t actions;
	size_t n = 1;

	assert_null(spawn_actions(NULL, &n));
	assert_int_equal(n, 0);
	posix_spawn_file_actions_init(&actions);
	assert_null(spawn_actions(&actions, &n));
	assert_int_equal(n, 0);
	posix_spawn_file_actions_destroy(&actions);
}

static void test_many(void **state)
{
	posix_spawn_file_actions_t actions, moved;
	const struct spawn_action *list;
	size_t n;

	posix_spawn_file_actions_init(&actions);
	for (int i = 0; i < 100; i += 2) {
		assert_int_equal(spawn_actions_adddup2(&actions, i, i + 1), 0);
		posix_spawn_file_actions_addopen(&actions, i, "/file", O_WRONLY | O_CREAT,
						 0600 + i);
	}
	moved = actions;
	list = spawn_actions(&moved, &n);
	assert_int_equal(n, 100);
	for (int i = 0; i < 100; i += 2) {
		assert_int_equal(list[i].kind, SPAWN_DUP2);
		assert_int_equal(list[i].dup2.fd, i);
		assert_int_equal(list[i].dup2.to, i + 1);
		assert_int_equal(list[i + 1].kind, SPAWN_OPEN);
		assert_int_equal(list[i + 1].open.fd, i);
		assert_string_equal(list[i + 1].open.path, "/file");
		assert_int_equal(list[i + 1].open.flags, O_WRONLY | O_CREAT);
		assert_int_equal(list[i + 1].open.mode, 0600 + i);
	}
	posix_spawn_file_actions_destroy(&moved);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_legible),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
