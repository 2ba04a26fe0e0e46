/* SPDX-License-Identifier: BSD-2-Clause */
/* Session resumption in the life of a flow: what it offers, what it uses, what it leaves. */
#ifndef DAEMON_RESUME_H
#define DAEMON_RESUME_H

#include <stdbool.h>

#include "daemon/flow.h"

/* Outgoing: adds the offer to resume a session with the peer, if there is one. */
void resume_offer(struct flow *f, struct engine_offer *offer);

/* The session that the flow's SYN, or the peer's, offered to resume, and the other end would have
 * agreed to. False: none. */
bool resume_name(const struct flow *f, struct tcpcrypt_eno_resume *ret);

/* Both agreed: the secret, with the nonces of both, which the caller wipes. False: it is gone. */
bool resume_take(struct flow *f, const struct tcpcrypt_eno_result *result,
		 struct tcpcrypt_resumption *ret);

/* They agreed on a fresh exchange: says why in the record. */
void resume_not(struct flow *f, const struct eno_sock *eno,
		const struct tcpcrypt_eno_result *result);

/* The session has keys: keeps its next secret, or sees that nobody does. */
void resume_keep(struct flow *f);

/* Forgets the session that the flow's keys came from, or began. */
void resume_forget(struct flow *f);

/* The same, and the flow's next offer is one of fresh exchange. */
void resume_again(struct flow *f);

/* The flow ends, perhaps without having used its secret. */
void resume_release(struct flow *f);

#endif
