/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kex.h"
#include "core/wire.h"

/* clang-format off */

/* No entry is KEX_EXPECT_START, which no event enters: out of place. */
static const enum kex_state next[KEX_N_STATES][KEX_N_EVENTS] = {
	[KEX_EXPECT_START] = {
		[KEX_START_A]		= KEX_EXPECT_INIT2,
		[KEX_START_B]		= KEX_EXPECT_INIT1,
		[KEX_START_RESUMED]	= KEX_EXPECT_FRAME,
		[KEX_FAILURE]		= KEX_FAILED,
	},
	[KEX_EXPECT_INIT1] = {
		[KEX_INIT1_ACCEPTED]	= KEX_EXPECT_FRAME,
		[KEX_FAILURE]		= KEX_FAILED,
	},
	[KEX_EXPECT_INIT2] = {
		[KEX_INIT2_ACCEPTED]	= KEX_EXPECT_FRAME,
		[KEX_FAILURE]		= KEX_FAILED,
	},
	[KEX_EXPECT_FRAME] = {
		[KEX_FAILURE]		= KEX_FAILED,
	},
	[KEX_FAILED] = {
		[KEX_FAILURE]		= KEX_FAILED,
	},
};

/* clang-format on */

int kex_step(struct kex *kex, enum kex_event event)
{
	enum kex_state state = next[kex->state][event];

	if (state == KEX_EXPECT_START)
		return TCPCRYPT_E_STATE;
	kex->state = state;
	return 0;
}
