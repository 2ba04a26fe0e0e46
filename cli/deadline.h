/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Points in time on the monotonic clock, in milliseconds, for poll().
 */
#ifndef CLI_DEADLINE_H
#define CLI_DEADLINE_H

#include <stdint.h>

#define DEADLINE_NEVER INT64_MAX

/* The point ms milliseconds from now. */
int64_t deadline_after(int ms);

/* What is left, rounded so that poll() never returns early: 0 when past, -1 for DEADLINE_NEVER. */
int deadline_left(int64_t deadline);

#endif
