/* SPDX-License-Identifier: BSD-2-Clause */
/* The two clocks, in seconds. */
#ifndef DAEMON_CLOCK_H
#define DAEMON_CLOCK_H

#include <time.h>

static inline double clock_seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Since the epoch: for users. */
static inline double clock_wall(void)
{
	return clock_seconds(CLOCK_REALTIME);
}

/* Since some moment: for durations. */
static inline double clock_monotonic(void)
{
	return clock_seconds(CLOCK_MONOTONIC);
}

#endif
