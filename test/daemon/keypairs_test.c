// SPDX-License-Identifier: BSD-2-Clause
/* Key pairs made ahead: as many as wanted, each given out once, and freed otherwise. */
#include "daemon/keypairs.h"
#include "test/unit/unit.h"

#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

struct tcpcrypt_keypair {
	uint8_t tep;
};

static size_t made, freed;
static bool failing;

static int keypair_new(uint8_t tep, struct tcpcrypt_keypair **ret)
{
	if (failing)
		return TCPCRYPT_E_CRYPTO;
	*ret = malloc(sizeof(**ret));
	assert_non_null(*ret);
	(*ret)->tep = tep;
	made++;
	return 0;
}

static void keypair_free(struct tcpcrypt_keypair *pair)
{
	assert_non_null(pair);
	free(pair);
	freed++;
}

static const struct tcpcrypt_crypto crypto = {
	.keypair_new = keypair_new,
	.keypair_free = keypair_free,
};

static int setup(void **state)
{
	made = freed = 0;
	failing = false;
	return 0;
}

static void fill(struct keypairs *k)
{
	while (keypairs_make(k))
		;
}

static void test_bounded(void **state)
{
	struct keypairs k = { 0 };

	keypairs_set(&k, &crypto, TCPCRYPT_TEP_X25519);
	fill(&k);
	assert_int_equal(made, KEYPAIRS_MAX);
	assert_false(keypairs_make(&k));
	assert_int_equal(made, KEYPAIRS_MAX);
	keypairs_deinit(&k);
	assert_int_equal(freed, KEYPAIRS_MAX);
}

/* 8548-3.3-3, 8548-8-2: none is given to two sessions, nor freed under one. */
static void test_used_once(void **state)
{
	struct tcpcrypt_keypair *taken[KEYPAIRS_MAX];
	struct keypairs k = { 0 };

	keypairs_set(&k, &crypto, TCPCRYPT_TEP_X25519);
	fill(&k);
	for (size_t i = 0; i < KEYPAIRS_MAX; i++) {
		taken[i] = keypairs_take(&k, TCPCRYPT_TEP_X25519);
		assert_non_null(taken[i]);
		for (size_t j = 0; j < i; j++)
			assert_ptr_not_equal(taken[i], taken[j]);
	}
	assert_null(keypairs_take(&k, TCPCRYPT_TEP_X25519));
	keypairs_deinit(&k);
	assert_int_equal(freed, 0);
	for (size_t i = 0; i < KEYPAIRS_MAX; i++)
		keypair_free(taken[i]);
}

static void test_other_tep(void **state)
{
	struct tcpcrypt_keypair *pair;
	struct keypairs k = { 0 };

	keypairs_set(&k, &crypto, TCPCRYPT_TEP_X25519);
	fill(&k);
	assert_null(keypairs_take(&k, TCPCRYPT_TEP_P256));
	/* Another configuration: those from before are freed. */
	keypairs_set(&k, &crypto, TCPCRYPT_TEP_P256);
	assert_int_equal(freed, KEYPAIRS_MAX);
	assert_null(keypairs_take(&k, TCPCRYPT_TEP_P256));
	fill(&k);
	assert_null(keypairs_take(&k, TCPCRYPT_TEP_X25519));
	pair = keypairs_take(&k, TCPCRYPT_TEP_P256);
	assert_non_null(pair);
	assert_int_equal(pair->tep, TCPCRYPT_TEP_P256);
	keypair_free(pair);
	keypairs_deinit(&k);
	assert_int_equal(freed, made);
}

/* A failure ends it, for the loop would try again for ever; so does having no TEP. */
static void test_failure(void **state)
{
	struct keypairs k = { 0 };

	assert_false(keypairs_make(&k));
	keypairs_set(&k, &crypto, TCPCRYPT_TEP_X25519);
	failing = true;
	assert_false(keypairs_make(&k));
	assert_null(keypairs_take(&k, TCPCRYPT_TEP_X25519));
	failing = false;
	assert_true(keypairs_make(&k));
	keypairs_deinit(&k);
	assert_int_equal(freed, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_bounded, setup),
		cmocka_unit_test_setup(test_used_once, setup),
		cmocka_unit_test_setup(test_other_tep, setup),
		cmocka_unit_test_setup(test_failure, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
