/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * RUN_DIR/inproc.sock, where programs in in-process mode tell what becomes of their connections
 * (inproc/message.h). Served on the thread of one worker. What is to be called by the main thread
 * says so.
 */
#ifndef DAEMON_INPROC_CHANNEL_H
#define DAEMON_INPROC_CHANNEL_H

#include "daemon/inproc_cache.h"
#include "daemon/inproc_conns.h"
#include "daemon/visitor.h"
#include "daemon/worker.h"

/* Processes that are connected: in all, of all users but root, and of one of these. */
#define INPROC_PROCESSES_MAX	    4096
#define INPROC_PROCESSES_OTHERS_MAX 3072
#define INPROC_PROCESSES_USER_MAX   1024

struct inproc_process;
TAILQ_HEAD(inproc_process_list, inproc_process);

struct inproc_channel {
	struct worker *worker;
	struct loop_source listener;
	bool serves;
	bool resting; /* accepts nothing until the next tick */
	struct inproc_process_list processes;
	struct inproc_process_list ready; /* of these, to be read in their order */
	struct loop_work reading;
	size_t n_processes;
	struct inproc_conns conns;
	struct inproc_cache *cache;
	size_t n_asked;	 /* processes that are to say what their connections have carried */
	int answered_fd; /* an eventfd: all of them have */
	uint8_t packet[MESSAGE_PACKET_MAX]; /* being read */
	int dir_fd;
};

/* By the main thread, as all here that does not say otherwise. Before the worker's thread begins. With the listener
 * of a daemon that is to be replaced (else -1; taken in every case) it serves from
 * inproc_channel_serve() on. 0 or a negative errno value. */
int inproc_channel_open(struct worker *w, const char *run_dir, int listener,
			struct inproc_channel **ret);

/* The worker's thread has ended. Accepts NULL. */
void inproc_channel_close(struct inproc_channel *c);

/* Another daemon serves; or this one. */
void inproc_channel_yield(struct inproc_channel *c);
int inproc_channel_serve(struct inproc_channel *c);

/* Forgets all sessions; has the worker's configuration. */
void inproc_channel_flush(struct inproc_channel *c);
void inproc_channel_configure(struct inproc_channel *c);

/* Asks the processes with connections that the visitor may see what these have carried. False: there
 * is nobody to ask. Otherwise answered_fd tells; who has not answered by then is given up. */
bool inproc_channel_ask(struct inproc_channel *c, const struct visitor *visitor);
void inproc_channel_give_up(struct inproc_channel *c);

/* Once a second, on the worker's thread. */
void inproc_channel_tick(struct inproc_channel *c);

/* Asks for a proof that the other end of a connection has its keys; ledger_rekeyed() tells. On the worker's
 * thread. False: there is nobody to ask. */
bool inproc_channel_prove(struct inproc_channel *c, const struct inproc_conn *conn);

#endif
