/* SPDX-License-Identifier: BSD-2-Clause */
/* A daemon whose starter wants to know whether it has begun, and then goes on without it. */
#ifndef DAEMON_BACKGROUND_H
#define DAEMON_BACKGROUND_H

/* Before there are threads: goes on in a new process. The calling one waits until
 * background_ready() or the new one's end, and exits accordingly. 0 or a negative errno value. */
int background_begin(int *ret_report);

/* The new one is on its own; its log goes to log (-1: where it went before), which is closed. */
void background_ready(int report, int log);

#endif
