/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker's two loopback listeners, each for IPv4 and IPv6 on one port: for the local
 * programs whose connect() was turned here, and for the SYNs steered from the network. They
 * serve nobody else: what was not steered is reset. All workers' listeners share these two
 * ports; the programs tell which of them a SYN is for.
 */
#ifndef DAEMON_LISTENER_H
#define DAEMON_LISTENER_H

#include <stdbool.h>
#include <stdint.h>

#include "daemon/loop.h"

struct worker;

struct listener {
	struct loop_source v4, v6; /* fd 0 or -1: not open */
	uint16_t port;
	bool steered;
	bool resting; /* accepts nothing until listener_resume() */
	struct worker *worker;
};

/* Binds the port, which other listeners have, or a free one for 0, on 127.0.0.1 and ::1, so that the engine can be told of
 * it. An IPv6 that the host does not have is left out. 0 or a negative errno value. */
int listener_open(struct listener *l, bool steered, uint16_t port);

/* Marks the sockets for the programs and listens. All that share the port must be open. */
int listener_listen(struct listener *l, struct worker *w);

/* Starts to accept. All that share the port must listen. */
int listener_start(struct listener *l);

/* Accepts up to n connections that are there already. */
void listener_take(struct listener *l, bool v6, int n);

/* Once a second: accepts again if it rested for want of descriptors or memory. */
void listener_resume(struct listener *l);

/* Accepts a zeroed or half-open one. */
void listener_close(struct listener *l);

#endif
