/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/resume.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

/* Which half goes out, by original role, whoever opens; 8548-3.5-24, 8548-3.5-25. */
static void run_halves(const json_t *c)
{
	struct bytes ss = vectors_bytes(c, "ss");
	uint8_t id[WIRE_RESUME_ID_LEN];
	enum tcpcrypt_role opener = vectors_text(c, "active_opener_original_role")[0] == 'A'
					    ? TCPCRYPT_ROLE_A
					    : TCPCRYPT_ROLE_B;

	assert_int_equal(resume_identifier(tcpcrypt_crypto_openssl(), ss.data, id), 0);
	vectors_expect(c, "half_sent_by_active_opener", resume_half(id, opener),
		       WIRE_RESUME_HALF_LEN);
	vectors_expect(c, "half_sent_by_passive_opener", resume_half(id, resume_other_role(opener)),
		       WIRE_RESUME_HALF_LEN);
	free(ss.data);
}

static void test_halves(void **state)
{
	vectors_run("resumption.json", "sessions", run_halves);
}

/* 8548-3.5-17: from ss[i], and its identifier, to ss[i+1]. */
static void run_advance(const json_t *c)
{
	struct bytes ss = vectors_bytes(c, "ss");
	struct tcpcrypt_next_secret s = { .original_role = TCPCRYPT_ROLE_B };

	memcpy(s.secret, ss.data, sizeof(s.secret));
	assert_int_equal(tcpcrypt_session_next_secret_advance(tcpcrypt_crypto_openssl(), &s), 0);
	vectors_expect(c, "next_ss", s.secret, sizeof(s.secret));
	vectors_expect(c, "next_resume", s.identifier, sizeof(s.identifier));
	assert_int_equal(s.original_role, TCPCRYPT_ROLE_B);
	free(ss.data);
}

static void test_advance(void **state)
{
	vectors_run("resumption.json", "sessions", run_advance);
}

/* 8548-3.5-1, 8548-3.5-4, 8548-3.5-5: half and nonce of 0 to 8 bytes. */
static void test_data_fits(void **state)
{
	for (size_t len = 0; len < 40; len++)
		assert_int_equal(resume_data_fits(len), len >= 9 && len <= 17);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_halves),
		cmocka_unit_test(test_advance),
		cmocka_unit_test(test_data_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
