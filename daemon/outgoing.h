/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Outgoing connections: a local program's SYN is held until the other host has answered the
 * daemon's own, then released or refused, so that the program's connect() ends as it would
 * have without the daemon.
 */
#ifndef DAEMON_OUTGOING_H
#define DAEMON_OUTGOING_H

#include "daemon/flow.h"
#include "daemon/worker.h"

/* Of a worker that has nothing yet. */
void outgoing_init(struct worker *w);

/* The engine has no events left that are older than this call. */
void outgoing_looked(struct worker *w);

/* Once a second: the listener for programs may accept again. */
void outgoing_resume(struct worker *w);

/* Once a second: ends flows whose program gave up when there was no room to say so. */
void outgoing_tick(struct worker *w);

/* The engine's events: held SYNs, programs that gave up, connections that went out natively. */
void outgoing_event(struct worker *w, const struct shared_event *event);

/* The upstream socket became ready: it is connected or has failed. */
void outgoing_upstream_ready(struct flow *f);

/* The other host had no answer to an offer to resume, and a plain connection is none: opens another
 * one with the whole offer, while the program's SYN is held. The flow may be gone afterwards. */
void outgoing_again(struct flow *f);

/* A connection came to the listener for local programs; takes the descriptor over. program:
 * its ends as the program's socket has them. */
void outgoing_accepted(struct worker *w, int fd, const struct shared_tuple *program);

/* The flow of the program's socket with this local end and cookie, or with this cookie alone, as long as
 * there may be events from before it was connected; or NULL. */
struct flow *outgoing_find(struct worker *w, const struct shared_endpoint *program,
			   uint64_t cookie);
struct flow *outgoing_find_cookie(struct worker *w, uint64_t cookie);

/* The held SYN of a flow that fails; and no trace of the flow among the held ones. */
void outgoing_refuse(struct flow *f, int error);
void outgoing_forget(struct flow *f);

#endif
