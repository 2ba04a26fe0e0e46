/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/half.h"
#include "core/wire.h"

/* clang-format off */

static const struct {
	enum half_rx_state next;
	int result;
} rx_table[HALF_RX_N_STATES][HALF_RX_N_EVENTS] = {
	[HALF_RX_EXPECT_FINP] = {
		[HALF_RX_BYTES]	= { HALF_RX_EXPECT_FINP,	0 },
		[HALF_RX_FINP]	= { HALF_RX_EXPECT_FIN,		0 },
		/* 8548-3.7-2, 8548-3.7-3, 8547-5-9, 8547-5-10, 8547-5-11: an end that nobody
		 * authenticated is an error, and of its own kind (8547-5-12). */
		[HALF_RX_FIN]	= { HALF_RX_CLOSED,		TCPCRYPT_E_TRUNCATED },
	},
	[HALF_RX_EXPECT_FIN] = {
		[HALF_RX_BYTES]	= { HALF_RX_EXPECT_FIN,		TCPCRYPT_E_AFTER_FIN },
		[HALF_RX_FINP]	= { HALF_RX_EXPECT_FIN,		TCPCRYPT_E_AFTER_FIN },
		[HALF_RX_FIN]	= { HALF_RX_CLOSED,		0 },
	},
	[HALF_RX_CLOSED] = {
		[HALF_RX_BYTES]	= { HALF_RX_CLOSED,		TCPCRYPT_E_STATE },
		[HALF_RX_FINP]	= { HALF_RX_CLOSED,		TCPCRYPT_E_STATE },
		[HALF_RX_FIN]	= { HALF_RX_CLOSED,		0 },
	},
};

/* 8548-3.7-1: nothing is sealed after the frame with FINp, which therefore is the last. */
static const struct {
	enum half_tx_state next;
	int result;
} tx_table[HALF_TX_N_STATES][HALF_TX_N_EVENTS] = {
	[HALF_TX_OPEN] = {
		[HALF_TX_FRAME]	= { HALF_TX_OPEN,		0 },
		[HALF_TX_FINP]	= { HALF_TX_FINISHED,		0 },
	},
	[HALF_TX_FINISHED] = {
		[HALF_TX_FRAME]	= { HALF_TX_FINISHED,		TCPCRYPT_E_STATE },
		[HALF_TX_FINP]	= { HALF_TX_FINISHED,		TCPCRYPT_E_STATE },
	},
};

/* clang-format on */

int half_rx_step(struct half_rx *half, enum half_rx_event event)
{
	int result = rx_table[half->state][event].result;

	half->state = rx_table[half->state][event].next;
	return result;
}

int half_tx_step(struct half_tx *half, enum half_tx_event event)
{
	int result = tx_table[half->state][event].result;

	half->state = tx_table[half->state][event].next;
	return result;
}
