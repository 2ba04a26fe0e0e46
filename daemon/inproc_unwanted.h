/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections whose session is not to be kept when a process tells of it: TCP_CRYPT_CACHE_FLUSH has
 * come before (RFC 8548 section 3.5). The last ones, by their ends.
 */
#ifndef DAEMON_INPROC_UNWANTED_H
#define DAEMON_INPROC_UNWANTED_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/shared.h"

#define UNWANTED_MAX 1024

/* Zeroed: there are none. */
struct unwanted {
	struct shared_tuple ends[UNWANTED_MAX]; /* local port 0: none */
	size_t next, n;
};

void unwanted_add(struct unwanted *u, const struct shared_tuple *ends);

/* Are these among them? Then they are no longer. */
bool unwanted_take(struct unwanted *u, const struct shared_tuple *ends);

/* Are they the same? */
bool unwanted_is(const struct shared_tuple *a, const struct shared_tuple *b);

#endif
