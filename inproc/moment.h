/* SPDX-License-Identifier: BSD-2-Clause */
/* The time since whenever, for deadlines. */
#ifndef INPROC_MOMENT_H
#define INPROC_MOMENT_H

#include <stdint.h>
#include <time.h>

static inline int64_t moment_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline int64_t now_ns(void)
{
	return moment_ns(CLOCK_MONOTONIC);
}

static inline int64_t now_ms(void)
{
	return now_ns() / 1000000;
}

/* The same as of some milliseconds ago, which costs next to nothing. */
static inline int64_t now_coarse_ms(void)
{
	return moment_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

#endif
