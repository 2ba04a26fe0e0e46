/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who has connected to the control socket: what is read from him and waits for him (client.c), and
 * what he asks for (commands.c). Of control.c alone, as is everything here.
 */
#ifndef DAEMON_CLIENT_H
#define DAEMON_CLIENT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/un.h>

#include "daemon/control.h"
#include "daemon/ledger.h"
#include "daemon/loop.h"
#include "daemon/request.h"
#include "daemon/visitor.h"

#define CLIENT_READ_SECONDS 60 /* for an answer; who is not trusted has no more */

enum client_state {
	CLIENT_EXPECT_REQUEST,
	CLIENT_EXPECT_KEYS,   /* verify: the connection is still negotiating */
	CLIENT_EXPECT_REKEY,  /* verify: the other end's key update */
	CLIENT_EXPECT_COUNTS, /* list: programs' word about what they have carried */
	CLIENT_WATCHING,
	CLIENT_ANSWERED, /* closes when all is written */
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct loop_source source;
	struct control *control;
	struct visitor visitor;
	enum client_state state;
	char request[REQUEST_MAX];
	size_t request_len;
	bool recent;	     /* list */
	bool pass_on;	     /* when all is written: an older daemon may have more to say, */
	const char *if_none; /* and if there is none left, this is wrong (or NULL) */
	char *output;
	size_t output_start, output_len, output_size;
	/* verify */
	uint64_t record_id;
	uint64_t generation; /* of keys: of this or a later one the update proves the peer */
	double began, deadline;
};

TAILQ_HEAD(client_list, client);

struct control {
	struct workers *workers;
	struct loop *loop;
	struct news *news;
	struct control_status status;
	struct loop_source listener;
	struct loop_source counted; /* who were asked what they carried have answered */
	struct client_list clients;
	size_t n_clients;
	bool serves; /* the listener is not another daemon's */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int dir_fd; /* of the run directory, which may be out of reach by its path later */
};

/* Closes and frees. */
void client_free(struct client *c);

/* Writes what can be written. Returns false when the client is gone (and freed). */
bool client_flush(struct client *c);

/* Appends one object as a line; takes the reference. */
void client_say(struct client *c, json_t *o);

/* The same with an error, which ends the conversation. */
void client_error(struct client *c, const char *text);

/* Does what the first len bytes of c->request, a line, ask for. */
void client_request(struct client *c, size_t len);

/* list: all that were asked what they carry have answered, or need not any more. */
void commands_counted(struct control *control);

/* verify: it goes on, or ends, with what happens to its connection. */
void commands_verify_event(struct client *c, enum ledger_event event, const struct record *r);

#endif
