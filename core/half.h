/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two half-closes of a connection (RFC 8548 section 3.7): FINp, and nothing else, ends a
 * stream; TCP's FIN may only follow it.
 */
#ifndef CORE_HALF_H
#define CORE_HALF_H

enum half_rx_state {
	HALF_RX_EXPECT_FINP,
	HALF_RX_EXPECT_FIN, /* FINp came: only TCP's FIN may follow */
	HALF_RX_CLOSED,
	HALF_RX_N_STATES,
};

enum half_rx_event {
	HALF_RX_BYTES, /* anything of the stream */
	HALF_RX_FINP,  /* the frame just opened has FINp */
	HALF_RX_FIN,   /* TCP's */
	HALF_RX_N_EVENTS,
};

enum half_tx_state {
	HALF_TX_OPEN,
	HALF_TX_FINISHED, /* FINp sealed, which counts as FIN sent (D17) */
	HALF_TX_N_STATES,
};

enum half_tx_event {
	HALF_TX_FRAME,
	HALF_TX_FINP,
	HALF_TX_N_EVENTS,
};

struct half_rx {
	enum half_rx_state state;
};

struct half_tx {
	enum half_tx_state state;
};

/*
 * Enter the next state and give what the event means there: 0, or TCPCRYPT_E_TRUNCATED,
 * _E_AFTER_FIN or _E_STATE.
 */
int half_rx_step(struct half_rx *half, enum half_rx_event event);
int half_tx_step(struct half_tx *half, enum half_tx_event event);

#endif
