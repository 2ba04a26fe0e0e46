/* SPDX-License-Identifier: BSD-2-Clause */
/* What a flow's handshake with the other host came to: a session, or plain TCP, or neither. */
#ifndef DAEMON_NEGOTIATED_H
#define DAEMON_NEGOTIATED_H

#include "daemon/flow.h"

/*
 * The handshake with the other host is over: finds out what was negotiated on the net
 * socket and goes on encrypted or plain. 0, or negative: the flow was aborted and is gone, makes
 * another attempt, or will ask again.
 */
int flow_negotiated(struct flow *f);

#endif
