/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves a flow's bytes, as far as both sockets let it: relay.c through the session,
 * relay_plain.c by splice. Back-pressure is inherent: nothing is read before what was read
 * last has been written.
 *
 * Return 0: nothing more can be done now, or the turn's budget is used up (*ret_again).
 * RELAY_DONE: both directions have ended cleanly. Negative: abort; *ret_reason says why.
 */
#ifndef DAEMON_RELAY_H
#define DAEMON_RELAY_H

#include <stdbool.h>

#include "daemon/flow.h"

#define RELAY_DONE 1

struct relay_outcome {
	bool again;
	const char *reason;
};

int relay_encrypted(struct flow *f, struct relay_outcome *ret);
int relay_plain(struct flow *f, struct relay_outcome *ret);

/* Is the next byte to read the one that the sender marked as urgent? */
bool relay_at_mark(int fd);

/* Has the connection failed, though there was nothing more to read from it? The relay's reads
 * would not tell. Takes the error off the socket. */
bool relay_end_failed(const struct flow_end *end, struct relay_outcome *ret, const char *gone);

/* Once a second, for an encrypted flow: a peer that was throttled may go on. */
void relay_tick(struct flow *f);

/* Gives buffers and pipes back to the worker's pools. */
void relay_release(struct flow *f);

#endif
