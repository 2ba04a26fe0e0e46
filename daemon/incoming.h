/* SPDX-License-Identifier: BSD-2-Clause */
/* Incoming connections: a steered SYN was accepted here; the local server is connected to in
 * the client's name. */
#ifndef DAEMON_INCOMING_H
#define DAEMON_INCOMING_H

#include <stdbool.h>

#include "daemon/flow.h"
#include "daemon/worker.h"

/* A connection with these ends, as the other host sees them, came to the listener for steered SYNs;
 * takes the descriptor over. */
void incoming_accepted(struct worker *w, int fd, const struct shared_tuple *client);

/* Is the connection to the server made? Returns 0 when it is; otherwise it is still being
 * made (positive), or the flow was aborted and is gone (negative). */
int incoming_server_ready(struct flow *f);

/* Once a second until the server has accepted: tries again what wanted a descriptor. The flow may
 * be gone afterwards. */
void incoming_again(struct flow *f);

/* The flow ends: if the server has not accepted, nobody else who comes from the same port may
 * be taken for the client. */
void incoming_forget(struct flow *f);

#endif
