/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/half.h"
#include "core/wire.h"
#include "test/unit/unit.h"

/* 8548-3.7-2, 8548-3.7-3, 8548-8-1, 8547-5-9: what every event means in every state. */
static const int rx_results[HALF_RX_N_STATES][HALF_RX_N_EVENTS] = {
	[HALF_RX_EXPECT_FINP] = { 0, 0, TCPCRYPT_E_TRUNCATED },
	[HALF_RX_EXPECT_FIN] = { TCPCRYPT_E_AFTER_FIN, TCPCRYPT_E_AFTER_FIN, 0 },
	[HALF_RX_CLOSED] = { TCPCRYPT_E_STATE, TCPCRYPT_E_STATE, 0 },
};

static const enum half_rx_state rx_next[HALF_RX_N_STATES][HALF_RX_N_EVENTS] = {
	[HALF_RX_EXPECT_FINP] = { HALF_RX_EXPECT_FINP, HALF_RX_EXPECT_FIN, HALF_RX_CLOSED },
	[HALF_RX_EXPECT_FIN] = { HALF_RX_EXPECT_FIN, HALF_RX_EXPECT_FIN, HALF_RX_CLOSED },
	[HALF_RX_CLOSED] = { HALF_RX_CLOSED, HALF_RX_CLOSED, HALF_RX_CLOSED },
};

static void test_rx(void **state)
{
	for (int s = 0; s < HALF_RX_N_STATES; s++) {
		for (int e = 0; e < HALF_RX_N_EVENTS; e++) {
			struct half_rx half = { (enum half_rx_state)s };

			assert_int_equal(half_rx_step(&half, (enum half_rx_event)e),
					 rx_results[s][e]);
			assert_int_equal(half.state, rx_next[s][e]);
		}
	}
}

/* 8548-3.7-1: nothing after FINp. */
static void test_tx(void **state)
{
	for (int e = 0; e < HALF_TX_N_EVENTS; e++) {
		struct half_tx open = { HALF_TX_OPEN }, finished = { HALF_TX_FINISHED };

		assert_int_equal(half_tx_step(&open, (enum half_tx_event)e), 0);
		assert_int_equal(open.state, e == HALF_TX_FINP ? HALF_TX_FINISHED : HALF_TX_OPEN);
		assert_int_equal(half_tx_step(&finished, (enum half_tx_event)e), TCPCRYPT_E_STATE);
		assert_int_equal(finished.state, HALF_TX_FINISHED);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rx), cmocka_unit_test(test_tx) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
