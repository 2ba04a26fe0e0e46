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

#define PAST_MAX 4096 /* a power of two; who comes later may push out others */

/* Zeroed: nothing has ended. */
struct past {
	struct past_end {
		uint64_t id; /* 0: none */
		uid_t uid;
		bool listed; /* it was known when it ended */
		int32_t reason;
		uint64_t bytes_in, bytes_out, rekeys;
	} ends[PAST_MAX];
};

/* One has ended, by this message. */
void past_add(struct past *p, uid_t uid, const struct message *m, bool listed);

/* Has it ended? NULL: not that we know. */
struct past_end *past_find(struct past *p, uid_t uid, uint64_t id);

#endif
