/* SPDX-License-Identifier: BSD-2-Clause */
/* All workers together, as the main thread sees them. */
#ifndef DAEMON_WORKERS_H
#define DAEMON_WORKERS_H

#include "daemon/worker.h"

struct workers {
	struct worker *all;
	unsigned int n;
	unsigned int first_slot;
	struct intake intake;
};

/* As many as CPUs that this process may run on, for n = 0; at most SHARED_WORKERS_MAX. */
unsigned int workers_count(unsigned int n);

/* Makes the workers and opens their listeners. 0 or a negative errno value. */
int workers_open(struct workers *ws, unsigned int n);
uint16_t workers_out_port(const struct workers *ws);

/* After engine_attach(): makes them ready to serve; params without index and slot. */
int workers_init(struct workers *ws, const struct worker_params *params);

/* Starts their threads. */
int workers_start(struct workers *ws);

/* Aborts every flow and ends the threads; then close() frees everything. */
void workers_stop(struct workers *ws);
void workers_close(struct workers *ws);

/* The one that carries the flow with this id; NULL: none of these. */
struct worker *workers_of_flow(const struct workers *ws, uint64_t id);

/* Takes over a configuration in all of them; then nobody uses the old one any more. */
int workers_configure(struct workers *ws, const struct config *config, int keylog_fd);

/* Events of all ledgers go there. */
void workers_set_watcher(struct workers *ws,
			 void (*watch)(void *data, enum ledger_event event, const struct record *r),
			 void *data);

/* When the last of them that still shows life did so: loop_now(). */
double workers_alive(const struct workers *ws);

#endif
