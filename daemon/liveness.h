/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What time does to encrypted flows: new keys after a while, and probes of an end that has
 * not been heard of (RFC 8548 section 3.9).
 */
#ifndef DAEMON_LIVENESS_H
#define DAEMON_LIVENESS_H

#include <stdbool.h>
#include <stdint.h>

struct flow;
struct worker;

/* Part of a flow. Times are loop_now()'s. */
struct liveness {
	double heard;	 /* when the last frame of the peer's was opened */
	bool probing;	 /* a sign of life is awaited, */
	double asked;	 /* since then, */
	double deadline; /* until then */

	double rekeyed;	     /* since when this generation is in use */
	uint64_t generation; /* the one that was seen last */
	uint64_t bytes;	     /* that the program had sent and got before that, */
	uint64_t bytes_seen; /* and as of the last tick */
};

/* The keys are there. */
void liveness_begin(struct flow *f);

/* Once a second, for every flow. */
void liveness_tick(struct worker *w);

#endif
