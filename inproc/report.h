/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon is told of this process's connections (message.h). Connections put it in a queue,
 * and the helper thread sends it a little later, many together: no call of the program waits for
 * the daemon, and without one nothing is missed but the telling.
 */
#ifndef INPROC_REPORT_H
#define INPROC_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "inproc/conn.h"
#include "inproc/message.h"

/* For the helper: does what is due, and returns the milliseconds until the next time, -1: none is
 * known; the daemon has said something, or is gone. */
int report_work(uint64_t now_ms);
void report_ready(void);

/* The process ends. */
void report_finish(void);

/* Around fork(). */
void report_forking(void);
void report_fork_done(void);
void report_forked(void);

#endif
