/* SPDX-License-Identifier: BSD-2-Clause */
#include <tcpcrypt/error.h>

#include "test/unit/unit.h"

/* The names are part of the interface: the daemon counts and the tool explains under them. */
static void test_names(void **state)
{
	static const struct {
		int error;
		const char *name;
	} names[] = {
		{ TCPCRYPT_E_BAD_MAGIC, "bad-magic" },	 { TCPCRYPT_E_BAD_INIT, "bad-init" },
		{ TCPCRYPT_E_NO_CIPHER, "no-cipher" },	 { TCPCRYPT_E_BAD_CIPHER, "bad-cipher" },
		{ TCPCRYPT_E_BAD_KEY, "bad-key" },	 { TCPCRYPT_E_BAD_FRAME, "bad-frame" },
		{ TCPCRYPT_E_AUTH, "auth-failed" },	 { TCPCRYPT_E_TRUNCATED, "truncated" },
		{ TCPCRYPT_E_AFTER_FIN, "after-fin" },	 { TCPCRYPT_E_CRYPTO, "crypto-failed" },
		{ TCPCRYPT_E_RANDOM, "no-randomness" },	 { TCPCRYPT_E_NOMEM, "no-memory" },
		{ TCPCRYPT_E_LIMIT, "limit" },		 { TCPCRYPT_E_STATE, "wrong-state" },
		{ TCPCRYPT_E_ARGUMENT, "bad-argument" }, { TCPCRYPT_E_SYSTEM, "system" },
		{ TCPCRYPT_E_PLAIN, "plain" },		 { TCPCRYPT_E_NO_ENGINE, "no-engine" },
		{ 0, "unknown" },			 { TCPCRYPT_AGAIN, "unknown" },
		{ TCPCRYPT_EOF, "unknown" },		 { -19, "unknown" },
	};

	for (size_t i = 0; i < N_ELEMENTS(names); i++)
		assert_string_equal(tcpcrypt_error_name(names[i].error), names[i].name);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_names) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
