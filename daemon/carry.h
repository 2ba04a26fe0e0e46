/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program's socket leads no further than to the daemon: what its options would do on the wire
 * they do on the daemon's connection to the other host.
 */
#ifndef DAEMON_CARRY_H
#define DAEMON_CARRY_H

#include "daemon/flow.h"
#include "daemon/worker.h"

/* Sets these options on a socket. What the kernel refuses here it has refused, or will refuse,
 * the program, too. */
void carry_options(int fd, const struct app_options *o);

/* A program has changed its options, or a server has accepted with other than the usual ones. */
void carry_event(struct worker *w, const struct shared_event *event);

/* A flow begins with a held SYN, which may not be the first: for want of descriptors or memory there was
 * no flow when the program set options. */
void carry_early(struct flow *f);

/* Once a second. */
void carry_tick(struct worker *w);

/* Packets to a program shall pass whatever IP_MINTTL it has set; those of the other host meet it
 * on the wire. */
void carry_hops(int fd, int family);

#endif
