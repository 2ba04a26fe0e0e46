/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/handshake.h"

/* clang-format off */

/*
 * 8547-4.6-3: a segment without ENO up to and including the first ACK disables for good.
 * 8547-4.6-7: once an ACK with ENO went both ways, nothing disables any more. The segment that
 * answers a SYN-ACK carries ENO, so for an active opener both are true when the SYN-ACK comes.
 */
static const enum handshake_state next[HANDSHAKE_N_STATES][HANDSHAKE_N_EVENTS] = {
	[HANDSHAKE_EXPECT_SYN] = {
		[HANDSHAKE_SYN_ENO]		= HANDSHAKE_EXPECT_ACK,
		[HANDSHAKE_SYN_PLAIN]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_SYN_ACK_ENO]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_SYN_ACK_PLAIN]	= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_ENO]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_PLAIN]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_WITHDRAW]		= HANDSHAKE_EXPECT_SYN,
	},
	[HANDSHAKE_EXPECT_SYN_ACK] = {
		[HANDSHAKE_SYN_ENO]		= HANDSHAKE_EXPECT_ACK, /* simultaneous open */
		/* 8547-4.6-6: the SYN-ACK of this simultaneous open goes without. */
		[HANDSHAKE_SYN_PLAIN]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_SYN_ACK_ENO]		= HANDSHAKE_EXPECT_NON_SYN,
		[HANDSHAKE_SYN_ACK_PLAIN]	= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_ENO]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_PLAIN]		= HANDSHAKE_DISABLED,
		/* 8547-4.6-5: the only change of mind that is allowed. */
		[HANDSHAKE_WITHDRAW]		= HANDSHAKE_DISABLED,
	},
	[HANDSHAKE_EXPECT_ACK] = {
		[HANDSHAKE_SYN_ENO]		= HANDSHAKE_EXPECT_ACK,
		[HANDSHAKE_SYN_PLAIN]		= HANDSHAKE_DISABLED, /* D15 */
		[HANDSHAKE_SYN_ACK_ENO]		= HANDSHAKE_EXPECT_NON_SYN,
		[HANDSHAKE_SYN_ACK_PLAIN]	= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_ENO]		= HANDSHAKE_ENABLED, /* D20: data or not */
		[HANDSHAKE_ACK_PLAIN]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_WITHDRAW]		= HANDSHAKE_EXPECT_ACK,
	},
	[HANDSHAKE_EXPECT_NON_SYN] = {
		[HANDSHAKE_SYN_ENO]		= HANDSHAKE_EXPECT_NON_SYN,
		[HANDSHAKE_SYN_PLAIN]		= HANDSHAKE_EXPECT_NON_SYN,
		[HANDSHAKE_SYN_ACK_ENO]		= HANDSHAKE_EXPECT_NON_SYN,
		[HANDSHAKE_SYN_ACK_PLAIN]	= HANDSHAKE_EXPECT_NON_SYN,
		/* 8547-4.6-1: the first non-SYN segment ends the duty; its ENO is not needed. */
		[HANDSHAKE_ACK_ENO]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_ACK_PLAIN]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_WITHDRAW]		= HANDSHAKE_EXPECT_NON_SYN,
	},
	[HANDSHAKE_ENABLED] = {
		[HANDSHAKE_SYN_ENO]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_SYN_PLAIN]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_SYN_ACK_ENO]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_SYN_ACK_PLAIN]	= HANDSHAKE_ENABLED,
		[HANDSHAKE_ACK_ENO]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_ACK_PLAIN]		= HANDSHAKE_ENABLED,
		[HANDSHAKE_WITHDRAW]		= HANDSHAKE_ENABLED,
	},
	[HANDSHAKE_DISABLED] = {
		[HANDSHAKE_SYN_ENO]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_SYN_PLAIN]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_SYN_ACK_ENO]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_SYN_ACK_PLAIN]	= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_ENO]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_ACK_PLAIN]		= HANDSHAKE_DISABLED,
		[HANDSHAKE_WITHDRAW]		= HANDSHAKE_DISABLED,
	},
};

static const struct {
	enum handshake_outcome outcome;
	bool carries_eno;
} meaning[HANDSHAKE_N_STATES] = {
	[HANDSHAKE_EXPECT_SYN]		= { HANDSHAKE_IS_PENDING,	false },
	[HANDSHAKE_EXPECT_SYN_ACK]	= { HANDSHAKE_IS_PENDING,	true },
	[HANDSHAKE_EXPECT_ACK]		= { HANDSHAKE_IS_PENDING,	true },
	/* 8547-4.6-2: an active opener's third segment has ENO. */
	[HANDSHAKE_EXPECT_NON_SYN]	= { HANDSHAKE_IS_ENABLED,	true },
	[HANDSHAKE_ENABLED]		= { HANDSHAKE_IS_ENABLED,	false },
	[HANDSHAKE_DISABLED]		= { HANDSHAKE_IS_DISABLED,	false },
};

/* clang-format on */

struct handshake handshake_active(void)
{
	return (struct handshake){ HANDSHAKE_EXPECT_SYN_ACK };
}

struct handshake handshake_passive(void)
{
	return (struct handshake){ HANDSHAKE_EXPECT_SYN };
}

enum handshake_event handshake_event_of(bool syn, bool ack, bool eno)
{
	if (!syn)
		return eno ? HANDSHAKE_ACK_ENO : HANDSHAKE_ACK_PLAIN;
	if (!ack)
		return eno ? HANDSHAKE_SYN_ENO : HANDSHAKE_SYN_PLAIN;
	return eno ? HANDSHAKE_SYN_ACK_ENO : HANDSHAKE_SYN_ACK_PLAIN;
}

void handshake_step(struct handshake *h, enum handshake_event event)
{
	h->state = next[h->state][event];
}

enum handshake_outcome handshake_outcome(const struct handshake *h)
{
	return meaning[h->state].outcome;
}

bool handshake_carries_eno(const struct handshake *h)
{
	return meaning[h->state].carries_eno;
}
