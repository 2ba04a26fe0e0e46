/* SPDX-License-Identifier: BSD-2-Clause */
/* The key exchange as a state machine (RFC 8548 section 3.3): which message may come next. */
#ifndef CORE_KEX_H
#define CORE_KEX_H

enum kex_state {
	KEX_EXPECT_START, /* all zero: nothing to use and nothing to clean up */
	KEX_EXPECT_INIT1, /* host B */
	KEX_EXPECT_INIT2, /* host A */
	KEX_EXPECT_FRAME, /* keys agreed */
	KEX_FAILED,	  /* nothing may follow but deinit */
	KEX_N_STATES,
};

enum kex_event {
	KEX_START_A,	   /* role A, fresh keys: Init1 is made */
	KEX_START_B,	   /* role B, fresh keys */
	KEX_START_RESUMED, /* either role: no messages */
	KEX_INIT1_ACCEPTED,
	KEX_INIT2_ACCEPTED,
	KEX_FAILURE,
	KEX_N_EVENTS,
};

struct kex {
	enum kex_state state;
};

/* Enters the next state; TCPCRYPT_E_STATE, and no change, when the event is out of place. */
int kex_step(struct kex *kex, enum kex_event event);

#endif
