/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections, as the daemon is told of them: in the words of message.h, which go to report_put().
 * For the in-process library and for libtcpcrypt. Everything wants the connection locked.
 */
#ifndef INPROC_TELL_H
#define INPROC_TELL_H

#include "inproc/conn.h"
#include "inproc/message.h"

/* For struct conn_observer. */
void tell_established(struct conn *c);
void tell_ended(struct conn *c);
void tell_plain(const struct shared_inproc *inproc, bool refused);
void tell_proven(struct conn *c);

/* Anything else of it, without secrets. */
struct message tell_of(const struct conn *c, enum message_type type);

#endif
