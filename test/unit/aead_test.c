/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/aead.h"
#include "test/unit/unit.h"

/* 8548-6-1, 8548-6-3, 8548-3.6-1: table 3, and limits that leave room below the AEAD's own. */
static void test_table(void **state)
{
	/* With so many bytes under a key GCM's advantage, blocks^2 / 2^129, stays below 2^-64. */
	const uint64_t gcm_bytes = 16ull << 32;
	const struct {
		uint16_t aead;
		uint8_t key_len;
		uint64_t bytes;
	} table[] = {
		{ TCPCRYPT_AEAD_AES_128_GCM, 16, gcm_bytes },
		{ TCPCRYPT_AEAD_AES_256_GCM, 32, gcm_bytes },
		{ TCPCRYPT_AEAD_CHACHA20_POLY1305, 32, UINT64_MAX / 2 },
	};

	for (size_t i = 0; i < N_ELEMENTS(table); i++) {
		const struct aead_limits *limits = aead_find(table[i].aead);

		assert_non_null(limits);
		assert_int_equal(limits->key_len, table[i].key_len);
		assert_true(limits->rekey_frames < limits->max_frames);
		assert_true(limits->rekey_bytes <= table[i].bytes);
	}
}

/* 8547-5-4, 8547-5-5: of 65,536 identifiers those three, all of 128 bits or more. */
static void test_no_other(void **state)
{
	unsigned int n = 0;

	for (uint32_t aead = 0; aead <= UINT16_MAX; aead++) {
		const struct aead_limits *limits = aead_find((uint16_t)aead);

		if (!limits)
			continue;
		n++;
		assert_true(limits->key_len >= 16);
	}
	assert_int_equal(n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_no_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
