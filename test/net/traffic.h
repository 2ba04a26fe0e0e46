/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Checked traffic: connections whose every byte both ends can foretell.
 *
 * The client begins each with a plan, in the stream; from then on both ends follow it. In a
 * round the client sends `up` bytes and the server answers `down`. The bytes come from the
 * plan's seed, so that whoever receives them compares each with what it must be.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_LEN 40

enum plan_flags {
	PLAN_DUPLEX = 1 << 0,	    /* both ends send without waiting for the other */
	PLAN_HALF_CLOSE = 1 << 1,   /* the server answers when the client has ended its half */
	PLAN_SERVER_ENDS = 1 << 2,  /* the server is the first to end its half */
	PLAN_CLIENT_ABORT = 1 << 3, /* that end resets when it has got abort_at bytes */
	PLAN_SERVER_ABORT = 1 << 4,
	PLAN_GATED = 1 << 5, /* client: a round waits for the gate */
};

struct plan {
	uint64_t seed;
	uint64_t abort_at;
	uint32_t rounds; /* 0: as many as the client likes */
	uint32_t flags;
	uint32_t up, down;
	uint32_t pause_ms; /* client: between rounds */
};

enum conn_end { CONN_LIVES, CONN_COMPLETE, CONN_ABORTED, CONN_FAILED };

struct conn {
	int fd;
	bool server, connected;
	bool stalls; /* does not read */
	struct plan plan;
	uint8_t header[PLAN_LEN];
	size_t header_len; /* of the plan, sent or received */
	uint64_t sent, received;
	uint64_t gate;	/* the client's rounds that may begin */
	double wake;	/* when the next may, or 0 */
	bool ended;	/* has shut its half down */
	bool eof;	/* has seen the other's end */
	char fault[96]; /* CONN_FAILED: why */
};

/* Starts one with a connecting or accepted, non-blocking descriptor. plan: the client's. */
void conn_init(struct conn *c, int fd, const struct plan *plan);

/* Does what can be done now. *ret_again: there is more, others should have their turn. */
enum conn_end conn_run(struct conn *c, double now, bool *ret_again);

/* Client: whole rounds that are behind it. */
uint64_t conn_rounds(const struct conn *c);

/* A plan of the mixture: short, long, bulk, to and fro, half-closed, aborted. */
void plan_random(struct plan *plan);

#endif
