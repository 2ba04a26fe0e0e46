/* SPDX-License-Identifier: BSD-2-Clause */
/* A call from one thread to another's loop: the caller waits until the function has run there. */
#ifndef DAEMON_CALL_H
#define DAEMON_CALL_H

#include <semaphore.h>

#include "daemon/loop.h"

struct call {
	struct loop *loop;
	struct loop_source source; /* fd 0: not open */
	sem_t done;
	void (*run)(void *data);
	void *data;
};

/* Calls will be run by this loop. 0 or a negative errno value. */
int call_open(struct call *c, struct loop *loop);
void call_close(struct call *c);

/* By one thread only, while another runs the loop. */
void call_run(struct call *c, void (*run)(void *data), void *data);

#endif
