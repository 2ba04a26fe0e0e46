/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this process has to tell the daemon (message.h), until it is sent. Nothing here waits, and
 * nothing is missed but the telling when there is no room, or no daemon. Any thread.
 */
#ifndef INPROC_OUTBOX_H
#define INPROC_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>

#include "inproc/message.h"

/* False: there is no room for it. */
bool outbox_put(const struct message *m);

/* Is little to be added before what is there was sent? */
bool outbox_is_half_full(void);
bool outbox_is_empty(void);

/* Sends what there is. 0; -EAGAIN: the daemon has enough for now; another negative errno value: there is
 * none. */
int outbox_send(void);

/* Nobody listens. */
void outbox_drop(void);

/* What the daemon asks: 1, -EAGAIN, or a negative errno value: it is gone. */
int outbox_receive(struct message_question *ret);

/* Around fork(). */
void outbox_forking(void);
void outbox_fork_done(void);
void outbox_forked(void);

#endif
