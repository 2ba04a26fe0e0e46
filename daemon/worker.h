/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker: one thread's loop with everything its flows need: listeners, events, ledger,
 * buffers. What it shares with others is the engine, the configuration, which nobody changes,
 * and the intake, which counts.
 */
#ifndef DAEMON_WORKER_H
#define DAEMON_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include <tcpcrypt/crypto.h>

#include "daemon/buffer.h"
#include "daemon/call.h"
#include "daemon/config.h"
#include "daemon/intake.h"
#include "daemon/keypairs.h"
#include "daemon/ledger.h"
#include "daemon/listener.h"
#include "daemon/loop.h"
#include "daemon/nonces.h"
#include "daemon/pipe.h"
#include "engine/engine.h"

struct flow;
struct inproc_channel;
struct resumption;
TAILQ_HEAD(flow_list, flow);

#define WORKER_HELD_BUCKETS 4096
#define WORKER_ID_BUCKETS   4096

/* What a worker is given; everything stays the caller's. */
struct worker_params {
	unsigned int index; /* among the daemon's */
	unsigned int slot;  /* among those whom the programs know */
	struct engine *engine;
	struct intake *intake;
	struct resumption *resumption;
	const struct config *config;
	const struct tcpcrypt_crypto *crypto;
	int keylog_fd; /* -1: none, and so no session is asked for its keys */
};

struct worker {
	unsigned int index, slot;
	struct loop *loop;
	struct engine *engine;
	struct engine_lane *lane;
	struct intake *intake;
	struct ledger *ledger;
	struct resumption *resumption;
	const struct config *config;
	const struct tcpcrypt_crypto *crypto;
	int keylog_fd;
	struct buffer_pool buffers;
	struct pipe_pool pipes;
	struct nonces nonces;
	struct keypairs keypairs; /* of the TEP that is offered first */

	struct listener programs;      /* for local programs' connections */
	struct listener steered;       /* for SYNs from the network */
	struct loop_source events;     /* of the BPF programs */
	struct call call;	       /* from the main thread */
	struct inproc_channel *inproc; /* of one of the workers; NULL of the others */
	pthread_t thread;
	bool running;
	_Atomic double alive; /* last sign of life, on its loop's clock */

	struct flow_list flows;	  /* every flow */
	struct flow_list waiting; /* those that must get on by a deadline */
	/* Outgoing flows by the ends of the program's socket, from its SYN until it is connected and
	 * no event of the SYN is left. */
	struct flow_list held[WORKER_HELD_BUCKETS];
	/* Of these, whose SYN may go on: no faster than the listener accepts. */
	struct flow_list releasing;
	struct loop_work release;
	struct flow_list connected; /* of these, since the events were looked at last */
	uint32_t unheard; /* programs that gave up so, or set options, up to the last tick, */
	unsigned int unheard_ticks; /* and for so many more they are looked for */
	unsigned int early_ticks;   /* for so many more a SYN may come after its options */
	struct flow_list by_id[WORKER_ID_BUCKETS];
	size_t n_flows;

	/* What upstream connections offer whose programs wish nothing else. */
	struct engine_offer offer;
};

/* Its listeners are open already, and stay so when this fails; takes no connection yet. 0 or
 * a negative error. */
int worker_init(struct worker *w, const struct worker_params *params);

/* Aborts every flow, and frees what init made. Accepts a zeroed one. */
void worker_deinit(struct worker *w);

/* Takes over another configuration for connections that begin afterwards; the old one is not
 * used any more. */
int worker_configure(struct worker *w, const struct config *config, int keylog_fd);

/* Is there no descriptor left for another flow? What waits for one waits where it is: a program
 * repeats its SYN, and what the kernel has accepted stays in the listener's queue. */
bool worker_is_full(const struct worker *w);

/* If a system call failed for want of descriptors or memory (error: negative errno value), no
 * worker takes anything new until the next tick, and true is returned. */
bool worker_is_exhausted(const struct worker *w, int error);

/* In a thread of its own, until worker_stop(). 0 or a negative errno value. */
int worker_start(struct worker *w);

/* Runs a function on the worker's thread, or on the calling one when it has none, and waits
 * for it. By the main thread only. */
void worker_call(struct worker *w, void (*run)(void *data), void *data);

/* Aborts every flow and waits for the thread to end. */
void worker_stop(struct worker *w);

/* A key pair that nobody has used, the caller's from now on; NULL if there is none ready. */
struct tcpcrypt_keypair *worker_keypair(struct worker *w, uint8_t tep);

/* A flow begins (1) or ends (-1); one turns out plain (1), or such a one ends (-1). */
void worker_count_flow(struct worker *w, int change);
void worker_count_plain(struct worker *w, int change);

#endif
