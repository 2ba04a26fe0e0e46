/* SPDX-License-Identifier: BSD-2-Clause */
/* 8547-10-4, 8548-8-5: without a random generator there is no crypto table, hence no ENO. */
#include <unistd.h>

#include <tcpcrypt/crypto.h>

#include "test/unit/unit.h"

/* How an administrator would break it; libcrypto reads this when it is first used. */
static const char no_generator[] = "openssl_conf = begin\n"
				   "[begin]\n"
				   "random = generator\n"
				   "[generator]\n"
				   "random = NO-SUCH-GENERATOR\n";

static void test_no_randomness(void **state)
{
	char path[] = "/tmp/tcpcrypt-openssl-XXXXXX";
	const ssize_t len = sizeof(no_generator) - 1;
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, no_generator, len), len);
	close(fd);
	assert_int_equal(setenv("OPENSSL_CONF", path, 1), 0);
	assert_null(tcpcrypt_crypto_openssl());
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_no_randomness) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
