/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a flow's program may read by socket options (tcp_eno(7)). Nothing of it is readable
 * before the flow is either encrypted, with keys, or plain for good.
 */
#ifndef DAEMON_VIEW_H
#define DAEMON_VIEW_H

#include <tcpcrypt/eno.h>

#include "daemon/flow.h"

/* The handshake agreed to encrypt; the keys are still to come. */
void view_negotiated(struct flow *f, const struct tcpcrypt_eno_result *result);

/* The session has keys: the program may see them used. */
void view_established(struct flow *f);

void view_plain(struct flow *f, const struct eno_sock *eno,
		const struct tcpcrypt_eno_result *result);

/* The flow ends; a program that has looked keeps what it saw. */
void view_withdraw(struct flow *f);

#endif
