/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread's loop with everything its flows need. Nothing in it is shared with
 * another thread.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tcpcrypt/crypto.h>

#include "daemon/buffer.h"
#include "daemon/config.h"
#include "daemon/ledger.h"
#include "daemon/loop.h"
#include "daemon/pipe.h"
#include "engine/engine.h"

struct flow;
TAILQ_HEAD(flow_list, flow);

#define WORKER_HELD_BUCKETS 4096
#define WORKER_ID_BUCKETS   4096

struct worker {
	struct loop *loop;
	struct engine *engine;
	struct ledger *ledger;
	const struct config *config;
	const struct tcpcrypt_crypto *crypto;
	struct buffer_pool buffers;
	struct pipe_pool pipes;

	struct flow_list flows;	  /* every flow */
	struct flow_list waiting; /* those that must get on by a deadline */
	/* Outgoing flows by the ends of the program's socket, from its SYN to its accept. */
	struct flow_list held[WORKER_HELD_BUCKETS];
	struct flow_list by_id[WORKER_ID_BUCKETS];
	size_t n_flows;
	size_t n_plain; /* of these: they may need pipes */
	size_t max_flows;
	size_t max_files; /* descriptors that flows may have together */
	bool draining;	  /* takes no new connections any more */
	int keylog_fd;	  /* -1: none, and so no session is asked for its keys */
	bool exhausted;	  /* descriptors or memory ran out: nothing new until the next tick */

	/* What upstream connections offer whose programs wish nothing else. */
	struct engine_offer offer;
};

/* crypto, engine, ledger, config and loop stay the caller's. 0 or a negative error. */
int worker_init(struct worker *w, struct loop *loop, struct engine *engine, struct ledger *ledger,
		const struct config *config, const struct tcpcrypt_crypto *crypto);

/* Takes over what changed in the configuration, for connections that begin afterwards. */
int worker_configure(struct worker *w);

/* Aborts every flow. */
void worker_deinit(struct worker *w);

/* Once a second: deadlines, new keys, probes. */
void worker_tick(struct worker *w);

/* Is there no descriptor left for another flow? What waits for one waits where it is: a program
 * repeats its SYN, and what the kernel has accepted stays in the listener's queue. */
bool worker_is_full(const struct worker *w);

/* If a system call failed for want of descriptors or memory (error: negative errno value), takes
 * nothing new until the next tick and returns true. */
bool worker_is_exhausted(struct worker *w, int error);

/* Whether new connections are taken, now that the number of flows or draining changed: at the
 * limit they go their way without us until there is room. */
void worker_update_intake(struct worker *w);

#endif
