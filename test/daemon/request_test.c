// SPDX-License-Identifier: BSD-2-Clause
/* Requests on the control socket: what is understood, and what is refused with which words. */
#include <stdbool.h>

#include "daemon/address.h"
#include "daemon/request.h"
#include "test/unit/unit.h"

static const char *read_text(const char *text, struct request *ret)
{
	return request_read(text, strlen(text), ret);
}

static void test_commands(void **state)
{
	static const struct {
		const char *text;
		enum request_command command;
		bool recent;
	} table[] = {
		{ "{\"command\":\"status\"}", REQUEST_STATUS, false },
		{ "{\"command\":\"list\"}", REQUEST_LIST, false },
		{ "{\"command\":\"list\",\"recent\":false}", REQUEST_LIST, false },
		{ "{\"command\":\"list\",\"recent\":true}", REQUEST_LIST, true },
		{ " { \"recent\" : 1 , \"command\" : \"list\" } ", REQUEST_LIST, false },
		{ "{\"command\":\"watch\",\"more\":null}", REQUEST_WATCH, false },
		{ "{\"command\":\"flush\"}", REQUEST_FLUSH, false },
	};

	for (size_t i = 0; i < N_ELEMENTS(table); i++) {
		struct request r;

		assert_null(read_text(table[i].text, &r));
		assert_int_equal(r.command, table[i].command);
		assert_int_equal(r.recent, table[i].recent);
	}
}

static void test_upgrade(void **state)
{
	static const char *const bad[] = {
		"{\"command\":\"upgrade\"}",
		"{\"command\":\"upgrade\",\"layout\":7}",
		"{\"command\":\"upgrade\",\"layout\":\"a name of more than 31 characters\"}",
	};
	struct request r;

	assert_null(read_text("{\"command\":\"upgrade\",\"layout\":\"abc\"}", &r));
	assert_int_equal(r.command, REQUEST_UPGRADE);
	assert_string_equal(r.layout, "abc");
	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_non_null(read_text(bad[i], &r));
}

static void test_verify(void **state)
{
	static const char text[] = "{\"command\":\"verify\",\"local\":\"10.0.0.1:5000\","
				   "\"peer\":\"[fd00::2]:80\"}";
	char ends[2][ADDRESS_TEXT_MAX];
	struct request r;

	assert_null(read_text(text, &r));
	assert_int_equal(r.command, REQUEST_VERIFY);
	address_format(&r.local, ends[0]);
	address_format(&r.peer, ends[1]);
	assert_string_equal(ends[0], "10.0.0.1:5000");
	assert_string_equal(ends[1], "[fd00::2]:80");
}

static void test_errors(void **state)
{
	static const struct {
		const char *text, *error;
	} table[] = {
		{ "", "expected one JSON object with a command" },
		{ "status", "expected one JSON object with a command" },
		{ "[\"status\"]", "expected one JSON object with a command" },
		{ "{\"command\":7}", "expected one JSON object with a command" },
		{ "{\"command\":\"list\",\"command\":\"flush\"}",
		  "expected one JSON object with a command" },
		{ "{\"command\":\"list\"} {}", "expected one JSON object with a command" },
		{ "{\"command\":\"Status\"}", "unknown command" },
		{ "{\"command\":\"\"}", "unknown command" },
		{ "{\"command\":\"verify\"}", "verify wants local and peer as addr:port" },
		{ "{\"command\":\"verify\",\"local\":\"10.0.0.1:5000\",\"peer\":\"10.0.0.2\"}",
		  "verify wants local and peer as addr:port" },
		{ "{\"command\":\"verify\",\"local\":5,\"peer\":\"10.0.0.2:5\"}",
		  "verify wants local and peer as addr:port" },
	};

	for (size_t i = 0; i < N_ELEMENTS(table); i++) {
		struct request r = { .command = REQUEST_N_COMMANDS };
		const char *error = read_text(table[i].text, &r);

		assert_non_null(error);
		assert_string_equal(error, table[i].error);
		assert_int_equal(r.command, REQUEST_N_COMMANDS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_verify),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
