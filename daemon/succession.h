/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How one daemon replaces another without a connection noticing (tcpcryptd --upgrade).
 *
 * The new one asks on the control socket ({"command":"upgrade","layout":...}) and gets what the
 * running one leaves: descriptors, and a channel between the two. On the channel each message is a
 * packet:
 *
 *   new -> old  "take PID FIRST_SLOT N"  I am ready
 *   old -> new  "given"                  I have stopped taking connections: they are yours
 *   new -> old  "stop"                   I was told to end, and so are you
 *   either way  {"command":...}          a client of the control socket, its descriptor along: what
 *                                        it wants to know is with you
 *
 * The old one goes on with its connections until the last has ended. Before it ends it closes its
 * side of the channel for what comes and serves whom it has been sent; who is refused by it goes to
 * the next. A channel that ends means that the other process has: the old one then takes
 * connections again. Channels are handed on with the rest, so each daemon has one to every older
 * one that still lives, and an older one's ends when all that came after it have gone.
 */
#ifndef DAEMON_SUCCESSION_H
#define DAEMON_SUCCESSION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/loop.h"
#include "engine/heritage.h"

#define SUCCESSION_ELDERS_MAX 32

struct succession_ops {
	/* Adds what a daemon leaves but for the channels. 0 or a negative errno value. */
	int (*bequeath)(void *data, struct heritage *to);
	/* Another daemon serves from now on; it knows; it is gone. */
	void (*yield)(void *data, pid_t to);
	void (*yielded)(void *data);
	void (*take_back)(void *data);
	/* The one that serves was told to end. */
	void (*stop)(void *data);
	/* A client of the control socket with its request; the descriptor is the daemon's. */
	void (*client)(void *data, int fd, const char *request, size_t len);
	/* Frees what a daemon has left that was killed. */
	void (*sweep)(void *data);
};

/* An older daemon, whose connections have not ended yet. */
struct elder {
	struct loop_source channel;
	struct succession *succession;
	pid_t pid;
	unsigned int first_slot, n_slots;
};

enum succession_state {
	SUCCESSION_SERVES,
	SUCCESSION_OFFERS, /* another one is about to take over */
	SUCCESSION_YIELDED,
	SUCCESSION_RETIRES, /* is about to end: the newer one sends no more clients */
	SUCCESSION_RETIRED, /* and those that it had sent have come */
};

struct succession {
	const struct succession_ops *ops;
	void *data;
	struct loop *loop;
	unsigned int first_slot, n_slots; /* own */
	enum succession_state state;
	double deadline;			    /* of the offer */
	struct loop_source heir;		    /* the channel to the newer one; fd -1: none */
	struct elder elders[SUCCESSION_ELDERS_MAX]; /* newest first; fd -1: none */
};

void succession_init(struct succession *s, const struct succession_ops *ops, void *data);

/* The new one: asks the daemon of that run directory; logs what is wrong. 0 or a negative errno
 * value; then that daemon goes on as before. */
int succession_ask(const char *run_dir, struct heritage *ret);

/* The new one: takes the channels. */
int succession_inherit(struct succession *s, struct heritage *from);

/* From now on on this loop, as the daemon with these slots. 0 or a negative errno value. */
int succession_open(struct succession *s, struct loop *loop, unsigned int first_slot,
		    unsigned int n_slots);
void succession_close(struct succession *s);

/* The new one, when everything is ready: tells the older one and waits until it has yielded. */
int succession_take(struct succession *s);

/* The old one: a client of root's wants to take over. Returns NULL, or what is wrong with that. */
const char *succession_offer(struct succession *s, int client_fd, const char *layout);

/* Gives a client to the newest of the older daemons that takes any, or to the newer one; the
 * descriptor stays the caller's. 0, SUCCESSION_NONE when there is none, or a negative errno value. */
#define SUCCESSION_NONE 1
int succession_pass_back(struct succession *s, int fd, const char *request, size_t len);
int succession_pass_on(struct succession *s, int fd, const char *request, size_t len);

/* An older one that is about to end takes no more clients. False: some may still come, see to them
 * and ask again. */
bool succession_retire(struct succession *s);

/* Tells all older ones to end. */
void succession_stop(struct succession *s);

/* Once a second. */
void succession_tick(struct succession *s);

/* Is one of the older ones' workers in that slot? */
bool succession_in_use(void *succession, unsigned int slot);

/* Older ones that still live: how many there are; the i-th, or NULL. */
size_t succession_count(const struct succession *s);
const struct elder *succession_elder(const struct succession *s, size_t i);

#endif
