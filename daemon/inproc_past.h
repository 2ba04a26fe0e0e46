/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections that have ended lately, by their programs' word. Processes that share one speak for
 * themselves, and it may be over before another one comes to say that it has begun, or lives.
 */
#ifndef DAEMON_INPROC_PAST_H
#define DAEMON_INPROC_PAST_H

#include <stdbool.h>
#include <sys/types.h>

#include "inproc/message.h"

#define PAST_SETS 1024 /* a power of two */
#define PAST_WAYS 4    /* who comes later pushes out who came first */

struct past_end {
	uint64_t id; /* 0: none */
	uid_t uid;
	bool listed; /* it was known when it ended */
	int32_t reason;
	uint64_t bytes_in, bytes_out, rekeys;
};

/* Zeroed: nothing has ended. */
struct past {
	struct past_set {
		struct past_end ends[PAST_WAYS];
		unsigned int next;
	} sets[PAST_SETS];
};

/* One has ended, by this message. */
void past_add(struct past *p, uid_t uid, const struct message *m, bool listed);

/* Has it ended? NULL: not that we know. */
struct past_end *past_find(struct past *p, uid_t uid, uint64_t id);

#endif
