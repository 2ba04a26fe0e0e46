/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's two loopback listeners, each for IPv4 and IPv6 on one port: for the local
 * programs whose connect() was turned here, and for the SYNs steered from the network. They
 * serve nobody else: what was not steered is reset.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/loop.h"
#include "daemon/worker.h"

struct listener {
	struct loop_source v4, v6; /* fd -1: not open */
	uint16_t port;
	bool steered;
	bool resting; /* accepts nothing until listener_resume() */
	struct worker *worker;
};

/* Binds a free port on 127.0.0.1 and ::1, so that the engine can be told of it. An IPv6 that
 * the host does not have is left out. 0 or a negative errno value. */
int listener_open(struct listener *l, bool steered);

/* Marks the sockets for the programs and starts to accept for w. */
int listener_start(struct listener *l, struct worker *w);

/* Once a second: accepts again if it rested for want of descriptors or memory. */
void listener_resume(struct listener *l);

/* Accepts a zeroed or half-open one. */
void listener_close(struct listener *l);

#endif
