/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * When the daemon is told of this process's connections (tell.h). It is put into the outbox, and the
 * helper thread sends it a little later, many together: no call of the program waits for the daemon,
 * and without one nothing is missed but the telling. (libtcpcrypt, which has no such thread, has
 * another report_put(): lib/report.c.)
 */
#ifndef INPROC_REPORT_H
#define INPROC_REPORT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "inproc/conn.h"
#include "inproc/message.h"

/* Something is to be told, whatever is done meanwhile. */
void report_put(const struct message *m);

/* Does this process answer nothing that the daemon asks? */
extern const bool report_is_silent;

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
