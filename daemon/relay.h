/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves a flow's bytes, as far as both sockets let it: relay.c through the session, by
 * relay_inward.c and relay_outward.c; relay_plain.c by splice. Back-pressure is inherent: nothing is read before what was read
 * last has been written.
 *
 * Return 0: nothing more can be done now, or the turn's budget is used up (*ret_again).
 * RELAY_DONE: both directions have ended cleanly. Negative: abort; *ret_reason says why.
 */
#ifndef DAEMON_RELAY_H
#define DAEMON_RELAY_H

#include <stdbool.h>
#include <sys/types.h>

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

/* What a step of one direction may say, besides 0 (it went on) and negative (abort). */
#define RELAY_BLOCKED 2 /* nothing more can move now */
#define RELAY_ENDED   3 /* nothing more will, because one of the ends is gone */

/* Is this, of a socket that connects, no refusal, but the reset of a connection that was made? */
bool relay_is_broken(int error);

/*
 * After a socket call on end that failed: RELAY_BLOCKED when it would have blocked, else the end
 * is gone and the direction has ended.
 */
int relay_call_failed(struct flow *f, struct flow_end *end);

/* After a read that found nothing more: is the end gone? */
bool relay_end_is_gone(struct flow *f, struct flow_end *end);

/* And is that no end of the stream, because no FIN had come before? */
bool relay_end_is_cut(struct flow *f, struct flow_end *end);

/* Has the connection failed, though there was nothing more to read from it? The relay's reads
 * would not tell. Takes the error off the socket; then the end is gone. */
bool relay_end_failed(struct flow *f, struct flow_end *end);

/*
 * When an end is gone, the other still gets what had come from it, as it would have without the
 * daemon, and only then the RST. 0: goes on. Negative: that is done.
 */
int relay_conclude(struct flow *f, bool in_ended, bool out_ended, struct relay_outcome *ret);

/* No buffer or pipe is to be had: nothing is lost, the flow waits for the next tick. Returns
 * RELAY_BLOCKED. */
int relay_starve(struct flow *f);

/* A negative result, with its reason, for the caller to pass on. */
int relay_fail(struct relay_outcome *ret, const char *reason);

/* After a read of n bytes into so much room. An urgent byte makes reads short as well, and so does the
 * want of pages, unless all of the room is in one (sure). Once end->empty is set and not end->doubtful, a
 * read would return 0. */
void relay_end_was_read(struct flow_end *end, ssize_t n, size_t room, bool sure);

/* A step of one direction of an encrypted flow; and its buffer goes back to the worker's pool. */
int relay_inward_step(struct flow *f, struct relay_outcome *ret);
int relay_outward_step(struct flow *f, struct relay_outcome *ret);
void relay_inward_release(struct flow *f);
void relay_outward_release(struct flow *f);

/* Once a second: a peer that was throttled may go on, and a flow that waits for memory; what may have
 * been left where it was is read; an app that has ended its stream is watched. */
void relay_tick(struct flow *f);

/* Gives buffers and pipes back to the worker's pools. */
void relay_release(struct flow *f);

#endif
