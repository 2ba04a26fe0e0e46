// SPDX-License-Identifier: BSD-2-Clause
/* The configuration file: defaults, every key, and errors that name the line. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/config.h"
#include "test/unit/unit.h"

static int read_text(const char *text, struct config *c, char error[static CONFIG_ERROR_MAX])
{
	char path[] = "/tmp/tcpcrypt-config-XXXXXX";
	int fd = mkstemp(path), ret;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	ret = config_read(c, path, error);
	unlink(path);
	return ret;
}

static bool left_alone(const struct config *c, unsigned int port)
{
	return c->left_alone[port >> 6] >> (port & 63) & 1;
}

/* 8547-5-16: the TEPs of RFC 8548, which all carry urgent data. */
static void test_defaults(void **state)
{
	char error[CONFIG_ERROR_MAX];
	struct config c, empty;

	config_default(&c);
	assert_int_equal(c.n_teps, 2);
	assert_int_equal(c.teps[0], TCPCRYPT_TEP_X25519);
	assert_int_equal(c.teps[1], TCPCRYPT_TEP_P256);
	assert_int_equal(c.n_aeads, 3);
	assert_true(left_alone(&c, 22) && left_alone(&c, 443) && left_alone(&c, 992));
	assert_false(left_alone(&c, 80) || left_alone(&c, 988) || left_alone(&c, 996));
	assert_int_equal(c.rekey_seconds, 3600);
	assert_int_equal(c.keepalive_seconds, 0);
	assert_int_equal(c.remember_plain_seconds, 600);
	assert_int_equal(c.resume_seconds, 7200);
	assert_int_equal(c.resume_max, 4096);
	assert_string_equal(c.user, "tcpcrypt");
	assert_true(c.sandbox);
	assert_int_equal(read_text("", &empty, error), 0);
	assert_memory_equal(&c, &empty, sizeof(c));
}

/* 8548-5-8, 8548-6-2: teps and aeads. */
static void test_keys(void **state)
{
	static const char text[] = "# a comment\n"
				   "teps = p521, x448 # and another\n"
				   "aeads=chacha20-poly1305\n"
				   "\n"
				   "  ports-left-alone = 25 8000-8002\n"
				   "max-connections = 7\n"
				   "rekey-bytes = 5000000000\n"
				   "drain-seconds = 3\n"
				   "resume-seconds = 0\n"
				   "resume-max = 8192\n"
				   "rekey-seconds = 60\n"
				   "keepalive-seconds = 7200\n"
				   "user = encrypter\n"
				   "sandbox = off\n"
				   "remember-plain-seconds = 0";
	char error[CONFIG_ERROR_MAX];
	struct config c;

	assert_int_equal(read_text(text, &c, error), 0);
	assert_int_equal(c.n_teps, 2);
	assert_int_equal(c.teps[0], TCPCRYPT_TEP_P521);
	assert_int_equal(c.n_aeads, 1);
	assert_int_equal(c.aeads[0], TCPCRYPT_AEAD_CHACHA20_POLY1305);
	assert_true(left_alone(&c, 25) && left_alone(&c, 8000) && left_alone(&c, 8002));
	assert_false(left_alone(&c, 22) || left_alone(&c, 8003));
	assert_int_equal(c.max_connections, 7);
	assert_int_equal(c.rekey_bytes, 5000000000);
	assert_int_equal(c.rekey_seconds, 60);
	assert_int_equal(c.keepalive_seconds, 7200);
	assert_int_equal(c.remember_plain_seconds, 0);
	assert_int_equal(c.drain_seconds, 3);
	assert_int_equal(c.resume_seconds, 0);
	assert_int_equal(c.resume_max, CONFIG_RESUME_MAX);
	assert_string_equal(c.user, "encrypter");
	assert_false(c.sandbox);
	assert_int_equal(read_text("ports-left-alone =", &c, error), 0);
	assert_false(left_alone(&c, 22));
}

static void test_errors(void **state)
{
	static const char *const bad[] = {
		"teps = x25519 x25519",
		"teps =",
		"teps = rsa",
		"aeads = null",
		"ports-left-alone = 0",
		"ports-left-alone = 10-9",
		"ports-left-alone = 70000",
		"max-connections = -1",
		"max-connections = many",
		"rekey-bytes = 99999999999999999999999",
		"rekey-bytes = 8191",
		"rekey-seconds = -1",
		"keepalive-seconds = soon",
		"remember-plain-seconds = 2147483648",
		"resume-seconds = -1",
		"resume-max = 8193",
		"colour = blue",
		"just words",
		"= 5",
		"key-log = relative/path",
		"key-log =",
		"user =",
		"user = a-name-that-is-longer-than-any-user-has",
		"sandbox = maybe",
		"teps = x25519 x448 p256 p521 x25519",
	};
	char text[256], error[CONFIG_ERROR_MAX];
	struct config c;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "# one\n\n%s\nmax-connections = 3\n", bad[i]);
		assert_int_equal(read_text(text, &c, error), -EINVAL);
		assert_non_null(strstr(error, ":3: "));
	}
	assert_int_equal(config_read(&c, "/tmp", error), -EIO);
	assert_non_null(strstr(error, "/tmp"));
	assert_int_equal(config_read(&c, "/dev/zero", error), -EINVAL);
	assert_non_null(strstr(error, "/dev/zero:1: longer"));
	assert_int_equal(config_read(&c, "/nonexistent/file", error), -ENOENT);
	assert_non_null(strstr(error, "/nonexistent/file"));
}

/* Nothing hides behind a zero byte. */
static void test_zero_byte(void **state)
{
	char text[] = "teps = x25519\0 x448\n", error[CONFIG_ERROR_MAX];
	FILE *f = fmemopen(text, sizeof(text) - 1, "r");
	struct config c;

	assert_non_null(f);
	assert_int_equal(config_read_stream(&c, f, "zero", error), -EINVAL);
	assert_non_null(strstr(error, "zero:1: "));
	fclose(f);
}

/* 8547-5-6: keys are logged for root's own configuration file only. */
static void test_key_log(void **state)
{
	static const mode_t modes[] = { 0600, 0644, 0620, 0602, 0666 };
	char path[] = "/tmp/tcpcrypt-config-XXXXXX", error[CONFIG_ERROR_MAX];
	static const char text[] = "key-log = /nowhere/keys\n";
	int fd = mkstemp(path);
	struct config c;

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		bool secure = geteuid() == 0 && !(modes[i] & 022);

		assert_int_equal(fchmod(fd, modes[i]), 0);
		assert_int_equal(config_read(&c, path, error), secure ? 0 : -EPERM);
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults), cmocka_unit_test(test_keys),
		cmocka_unit_test(test_errors),	 cmocka_unit_test(test_zero_byte),
		cmocka_unit_test(test_key_log),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
