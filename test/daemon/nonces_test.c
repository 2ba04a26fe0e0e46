// SPDX-License-Identifier: BSD-2-Clause
/* Nonces made ahead (8548-3.5-2): no byte of them is given out twice, not even by two clones of a
 * machine, and a random source that fails is told of. */
#include "daemon/nonces.h"
#include "test/unit/unit.h"

#include <stdbool.h>

#include <tcpcrypt/error.h>

static unsigned int asked;
static bool failing;
static uint8_t next_byte;

/* No two of the first 32 nonces have a byte in common. */
static int count_up(uint8_t *out, size_t len)
{
	if (failing)
		return TCPCRYPT_E_RANDOM;
	asked++;
	for (size_t i = 0; i < len; i++)
		out[i] = next_byte++;
	return 0;
}

static const struct tcpcrypt_crypto crypto = { .random = count_up };

static int setup(void **state)
{
	asked = 0;
	failing = false;
	next_byte = 0;
	return 0;
}

static bool is_left(const struct nonces *n, uint8_t byte)
{
	const uint8_t *all = n->bytes[0];

	for (size_t i = 0; i < n->left * SHARED_NONCE_MAX; i++)
		if (all[i] == byte)
			return true;
	return false;
}

static void test_used_once(void **state)
{
	struct nonces n = {};
	uint8_t out[SHARED_NONCE_MAX], before[SHARED_NONCE_MAX];

	for (unsigned int round = 1; round <= 2; round++)
		for (size_t i = 0; i < NONCES_AHEAD; i++) {
			if (n.left)
				memcpy(before, n.bytes[n.left - 1], sizeof(before));
			assert_int_equal(nonces_take(&n, &crypto, out, sizeof(out)), 0);
			assert_int_equal(asked, round);
			assert_int_equal(n.left, NONCES_AHEAD - 1 - i);
			if (i)
				assert_false(is_left(&n, before[0]));
		}
}

/* A shorter one is written no further. */
static void test_length(void **state)
{
	uint8_t out[SHARED_NONCE_MAX];
	struct nonces n = {};

	memset(out, 0xa5, sizeof(out));
	assert_int_equal(nonces_take(&n, &crypto, out, 3), 0);
	for (size_t i = 3; i < sizeof(out); i++)
		assert_int_equal(out[i], 0xa5);
}

/* Two that were made ahead as the same one: the moment makes the difference. */
static void test_clones(void **state)
{
	struct nonces n = {}, clone;
	uint8_t first[SHARED_NONCE_MAX], second[SHARED_NONCE_MAX];

	assert_int_equal(nonces_take(&n, &crypto, first, sizeof(first)), 0);
	clone = n;
	assert_int_equal(nonces_take(&n, &crypto, first, sizeof(first)), 0);
	do {
		struct nonces again = clone;

		assert_int_equal(nonces_take(&again, &crypto, second, sizeof(second)), 0);
		assert_int_equal(again.left, n.left);
	} while (!memcmp(first, second, sizeof(first)));
	assert_int_equal(asked, 1);
}

static void test_failure(void **state)
{
	uint8_t out[SHARED_NONCE_MAX];
	struct nonces n = {};

	failing = true;
	assert_int_equal(nonces_take(&n, &crypto, out, sizeof(out)), TCPCRYPT_E_RANDOM);
	failing = false;
	assert_int_equal(nonces_take(&n, &crypto, out, sizeof(out)), 0);
	assert_int_equal(asked, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_used_once, setup),
		cmocka_unit_test_setup(test_length, setup),
		cmocka_unit_test_setup(test_clones, setup),
		cmocka_unit_test_setup(test_failure, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
