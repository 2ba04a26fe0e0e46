/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A flow: one connection between a program of this host and another host, as the daemon
 * carries it: one socket towards the program ("app"), one towards the other host ("net"),
 * and between them a session, or nothing when the connection is plain.
 *
 *   outgoing: a program's SYN is held -> net connects -> the SYN is released -> app accepted
 *   incoming: net accepted (steered SYN) -> app connects to the local server
 *
 * flow_set_state() is the only writer of the state.
 */
#ifndef DAEMON_FLOW_H
#define DAEMON_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/uio.h>

#include <tcpcrypt/eno.h>
#include <tcpcrypt/session.h>

#include "daemon/ledger.h"
#include "daemon/liveness.h"
#include "daemon/loop.h"
#include "daemon/pipe.h"
#include "daemon/resumption.h"
#include "daemon/worker.h"

/* From the TCP handshake to the keys. TCP may have to bring them across a link that was down. */
#define FLOW_KEY_EXCHANGE_SECONDS 120

enum flow_state {
	FLOW_EXPECT_UPSTREAM, /* outgoing: the other host's SYN-ACK */
	FLOW_EXPECT_PROGRAM,  /* outgoing: the program's handshake with our listener */
	FLOW_EXPECT_SERVER,   /* incoming: the local server's accept */
	FLOW_RELAYING,
	FLOW_TIMING_OUT, /* the program's own finding that nobody answers any more */
	FLOW_ENDED,
};

struct flow_end {
	struct loop_source source; /* fd -1: not open */
	struct flow *flow;
	bool open;   /* connected */
	bool resets; /* what close() means as the socket is: RST */
	bool hung;   /* the kernel has ended the connection, in error or because both ends had */
	bool gone;   /* a call has said that it failed; what came before may still be read */
	bool fin;    /* and FIN was among that */
	int broken;  /* the error has been taken off the socket, for who reads to the end */
	/* What epoll has told, so that nothing is asked in vain. */
	bool connected; /* its handshake is over */
	bool readable;	/* and no read has found less than it had room for since */
	bool doubtful;	/* though one was short, it may have been for want of pages */
	bool ending;	/* its end can be read: short reads do not tell that all was read, */
	bool finished;	/* but where that is FIN, they do, */
	bool empty;	/* and one has: nothing is left but the end */
	bool urgent;	/* there has been urgent data */
};

/* Bytes that wait for the app, and those that cannot be decrypted yet. */
struct flow_inward {
	uint8_t *buffer;	/* NULL: nothing is under way */
	size_t start, end;	/* received, not yet consumed by the session */
	size_t used;		/* how much of the buffer has held data */
	size_t need;		/* the session can do nothing before there are as many */
	struct iovec plain[16]; /* decrypted, inside the buffer */
	size_t plain_first, plain_n;
	uint32_t plain_urgent; /* bit i: plain[i] is a byte to mark as urgent */
	bool urgent;	       /* the byte of this index, not yet come, is to be marked */
	uint64_t urgent_index;
	uint32_t rekeys;     /* key updates that the peer began since the last tick */
	uint64_t rekey_data; /* and bytes it sent meanwhile */
	bool throttled;	     /* it must wait for the next tick */
	bool eof;	     /* FINp came */
	bool fin;	     /* and TCP's FIN right behind it */
	bool shut;	     /* and was passed on to the app */
};

/* Frames that wait for the net. */
struct flow_outward {
	uint8_t *buffer;
	size_t start, end;
	size_t used;  /* how much of the buffer has held data */
	size_t chunk; /* data bytes in the next frames: grows in bulk */
	bool full;    /* the last read had no room for more */
	bool small;   /* it found less than the smallest frame takes: the next asks for no more */
	bool eof;     /* the app has ended its stream, FINp is sealed */
	bool shut;    /* and everything has gone out */
};

/* One direction of a plain flow. */
struct flow_splice {
	struct pipe_pair pipe;
	size_t inside; /* bytes in the pipe */
	bool eof, shut;
};

struct flow {
	TAILQ_ENTRY(flow) all_entry;
	TAILQ_ENTRY(flow) waiting_entry;
	TAILQ_ENTRY(flow) held_entry;
	TAILQ_ENTRY(flow) release_entry; /* of "releasing" or "connected" */
	TAILQ_ENTRY(flow) id_entry;
	struct worker *worker;
	struct record record;
	enum flow_state state;
	bool waiting; /* on the worker's list of those with a deadline */
	double deadline;
	struct loop_work again; /* more to do after others had their turn */

	/* By socket options: what the program wants, and what it may read. */
	struct shared_wishes wishes;
	struct shared_session view;

	struct flow_end net, app;
	struct tcpcrypt_session *session; /* NULL: plain, or not yet decided */
	struct resumption_ticket ticket;  /* the secret that it may resume with */
	struct resumption_chain chain;	  /* where its next secret is */
	bool established;		  /* the session has keys */
	bool plain;			  /* decided: no session */
	bool starved;			  /* waits for memory or a pipe until the next tick */
	bool required;			  /* by policy: never plain */
	unsigned int asked;		  /* what was negotiated, before it was decided */
	bool watched;		 /* TCP asks whether the app, whose stream has ended, is there */
	const char *gone_reason; /* why the end that is gone is; then the flow only drains */
	struct flow_inward inward;
	struct flow_outward outward;
	struct flow_splice plain_in, plain_out;
	struct liveness life;

	/* Outgoing: the held SYN, until the program is connected. */
	bool held;
	bool listed;	/* among the worker's "held" */
	bool releasing; /* its turn to be sent on comes with others' */
	bool connected; /* the program is, and events of its SYN may be left */
	struct shared_event syn;
	struct shared_tuple program; /* that socket's ends, on loopback */
};

/* A new flow in the ledger, with neither socket; NULL without memory. */
struct flow *flow_new(struct worker *w, bool outgoing);

void flow_set_state(struct flow *f, enum flow_state state);

/* Gives the flow until so many seconds from now; 0: as long as it takes. */
void flow_set_deadline(struct flow *f, double seconds);

/* Closes a descriptor that no flow has taken over, with RST: nothing it carried may pass for
 * complete. */
void flow_refuse(int fd);

/* For a socket towards a program, before it is connected; accepted ones inherit it. Should the daemon
 * die, the kernel closes in its place, and what is cut off must not look like an end of file; behind
 * frames TCP's FIN does not (8548-3.7-3). (SO_OOBINLINE, without which urgent bytes would be lost, and
 * TCP_NODELAY come with the engine's mark and connect(), or from the listener.) */
void flow_prepare_app(int fd);

/* Takes over a connected or connecting descriptor, in every case. 0 or a negative errno. */
int flow_adopt(struct flow *f, struct flow_end *end, int fd);

/* What close() of this end means from now on: RST, or an orderly end. */
void flow_close_resets(struct flow_end *end, bool reset);

/* Closes the connection to the other host, with RST: there will be another one. */
void flow_close_net(struct flow *f);

/* The session has keys. */
void flow_established(struct flow *f);

/* Moves what can be moved. The flow may be gone afterwards. */
void flow_progress(struct flow *f);

/*
 * Ends the flow: cleanly, or with RST at both ends (a program that still awaits its connect()
 * gets error, a positive errno value). reason: static text for the ledger. The flow is gone.
 */
void flow_finish(struct flow *f);
void flow_abort(struct flow *f, const char *reason, int error);

/* The same when the other host has died: the program gets ETIMEDOUT, as it would from its own TCP. */
void flow_time_out(struct flow *f);

/* Starts a key update, which proves the other end (RFC 8548 section 3.9). 0, TCPCRYPT_AGAIN
 * when one is under way, or negative when the flow is not encrypted. */
int flow_rekey(struct flow *f);

/* The live flow with these ends, or NULL. */
struct flow *flow_find(struct worker *w, const struct shared_endpoint *local,
		       const struct shared_endpoint *peer);

struct flow *flow_find_id(struct worker *w, uint64_t id);

/* The record's counters as of now. */
void flow_record_update(struct flow *f);

#endif
