/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket (doc/control.md): one JSON request a client, answered in JSON lines. */
#ifndef DAEMON_CONTROL_H
#define DAEMON_CONTROL_H

#include "daemon/workers.h"

#define CONTROL_SOCKET_NAME "control.sock"

struct control;
struct confinement;
struct crypto_choice;
struct inproc_channel;
struct resumption;
struct succession;

/* What `status` tells besides the ledger's totals; the strings stay the caller's. */
struct control_status {
	const char *state;
	struct engine *engine;
	struct resumption *resumption;
	struct inproc_channel *inproc;
	const struct crypto_choice *crypto;
	const char *key_log;				/* empty: none */
	size_t n_rules, n_required;			/* of the policy */
	double started;					/* seconds since the epoch */
	const char *(*interface)(void *data, size_t i); /* NULL behind the last */
	void *data;
	const struct confinement *confinement;
	struct succession *succession;
};

/* Listens on RUN_DIR/control.sock, served by the loop: the main thread's, which may call the
 * workers. With the listener of a daemon that is to be replaced (else -1; taken in every case) it
 * does so from control_serve() on. 0 or a negative errno value. */
int control_open(struct workers *ws, struct loop *loop, const char *run_dir, int listener,
		 const struct control_status *status, struct control **ret);

/* Another daemon has the listener from now on; and it does not. */
void control_yield(struct control *c);
int control_serve(struct control *c);
int control_listener(const struct control *c);

/* Sends those who watch to the other daemon. */
void control_pass_watchers(struct control *c);

/* A client whom another daemon sends, with its request. The descriptor is taken. */
void control_client(struct control *c, int fd, const char *request, size_t len);

/* How many are being answered, or watch. */
size_t control_clients(const struct control *c);

/* What `status` calls the daemon's state, key log and policy from now on. */
void control_set_state(struct control *c, const char *state);
void control_set_key_log(struct control *c, const char *key_log);
void control_set_policy(struct control *c, size_t n_rules, size_t n_required);

/* Tells the last events, drops every client and removes the socket; the workers' threads have
 * ended. Accepts NULL. */
void control_close(struct control *c);

/* Once a second: verifications that have waited long enough. */
void control_tick(struct control *c);

#endif
