/* SPDX-License-Identifier: BSD-2-Clause */
/* 8547-10-4, 8548-8-5: a host whose generator has no seed has no crypto table, hence no ENO. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/rand.h>

#include <tcpcrypt/crypto.h>

#include "test/unit/unit.h"

static int no_status(void)
{
	return 0;
}

static int no_bytes(unsigned char *out, int len)
{
	return 0;
}

static void test_no_randomness(void **state)
{
	static const RAND_METHOD broken = { .bytes = no_bytes,
					    .pseudorand = no_bytes,
					    .status = no_status };

	assert_int_equal(RAND_set_rand_method(&broken), 1);
	assert_null(tcpcrypt_crypto_openssl());
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_randomness) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
