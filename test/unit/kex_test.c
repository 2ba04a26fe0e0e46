/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kex.h"
#include "core/wire.h"
#include "test/unit/unit.h"

static const struct {
	enum kex_state state;
	enum kex_event event;
	enum kex_state next;
} allowed[] = {
	{ KEX_EXPECT_START, KEX_START_A, KEX_EXPECT_INIT2 },
	{ KEX_EXPECT_START, KEX_START_B, KEX_EXPECT_INIT1 },
	{ KEX_EXPECT_START, KEX_START_RESUMED, KEX_EXPECT_FRAME },
	{ KEX_EXPECT_INIT1, KEX_INIT1_ACCEPTED, KEX_EXPECT_FRAME },
	{ KEX_EXPECT_INIT2, KEX_INIT2_ACCEPTED, KEX_EXPECT_FRAME },
};

/* Every state x every event: failure is possible everywhere, else only what is listed. */
static void test_every_state_and_event(void **state)
{
	for (int s = 0; s < KEX_N_STATES; s++) {
		for (int e = 0; e < KEX_N_EVENTS; e++) {
			enum kex_state expected = e == KEX_FAILURE ? KEX_FAILED : (enum kex_state)s;
			struct kex kex = { (enum kex_state)s };
			int r = e == KEX_FAILURE ? 0 : TCPCRYPT_E_STATE;

			for (size_t i = 0; i < N_ELEMENTS(allowed); i++) {
				if ((int)allowed[i].state == s && (int)allowed[i].event == e) {
					expected = allowed[i].next;
					r = 0;
				}
			}
			assert_int_equal(kex_step(&kex, (enum kex_event)e), r);
			assert_int_equal(kex.state, expected);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_state_and_event) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
