/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who must put ENO into which segment, and when encryption is certain (RFC 8547 section 4.6):
 * a state machine over the segments that one host receives while the connection opens.
 */
#ifndef CORE_HANDSHAKE_H
#define CORE_HANDSHAKE_H

#include <stdbool.h>

enum handshake_state {
	HANDSHAKE_EXPECT_SYN,	  /* passive opener; nothing came */
	HANDSHAKE_EXPECT_SYN_ACK, /* active opener; its SYN had ENO */
	HANDSHAKE_EXPECT_ACK,	  /* a compatible SYN came; ours carries ENO */
	HANDSHAKE_EXPECT_NON_SYN, /* enabled; ENO goes on until the peer is done with SYNs */
	HANDSHAKE_ENABLED,
	HANDSHAKE_DISABLED,
	HANDSHAKE_N_STATES,
};

/*
 * A received segment. With ENO means: in a SYN one compatible SYN-form option, as far as this
 * host can tell; in any other segment at least one ENO option with whatever contents.
 */
enum handshake_event {
	HANDSHAKE_SYN_ENO,
	HANDSHAKE_SYN_PLAIN,
	HANDSHAKE_SYN_ACK_ENO,
	HANDSHAKE_SYN_ACK_PLAIN,
	HANDSHAKE_ACK_ENO, /* any segment with ACK and without SYN */
	HANDSHAKE_ACK_PLAIN,
	HANDSHAKE_WITHDRAW, /* the active opener leaves ENO out of a retransmitted SYN */
	HANDSHAKE_N_EVENTS,
};

enum handshake_outcome { HANDSHAKE_IS_PENDING, HANDSHAKE_IS_ENABLED, HANDSHAKE_IS_DISABLED };

struct handshake {
	enum handshake_state state;
};

struct handshake handshake_active(void);
struct handshake handshake_passive(void);

/* The event of a received segment, from its flags. */
enum handshake_event handshake_event_of(bool syn, bool ack, bool eno);

void handshake_step(struct handshake *h, enum handshake_event event);

enum handshake_outcome handshake_outcome(const struct handshake *h);

/* Must every segment that this host sends now carry ENO? */
bool handshake_carries_eno(const struct handshake *h);

#endif
