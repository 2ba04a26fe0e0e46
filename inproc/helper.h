/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A thread that does what no call of the program comes to do: key exchanges while the program is
 * busy elsewhere, and the rest of a frame that the kernel took only in part. It starts when it is
 * needed for the first time, and steps in only when the program has left a connection alone for
 * a moment.
 */
#ifndef INPROC_HELPER_H
#define INPROC_HELPER_H

#include "inproc/conn.h"

/* Locked. Something is left to do for fd if the program does not come back to it soon. */
void helper_watch(struct conn *c, int fd);

/* Locked. The program closes fd, but its last bytes are not sent yet. Returns at once unless there
 * are no means to do it later: then the lock is given up meanwhile. */
void helper_adopt(struct conn *c, int fd);

/* Locked. Another program goes on with c and looks after it; this process's thread may be gone with its
 * next step. */
void helper_leave(struct conn *c);

/* Something is to be reported (report.h). Begins the thread if it does not run. */
void helper_wake(void);

/* Ends the thread, which goes on where it was when it is needed again. False: it did not run. */
bool helper_stop(void);

/* The channel's descriptor, whose events are report_ready()'s. (This and the next one libtcpcrypt has, too.) */
void helper_poll(int fd);

/* The program is about to put another file at fd, which may be one of ours (kept.h). */
void helper_make_way(int fd);

/* At the end of the process or its program: waits until what was adopted is done, or nothing of it has
 * been sent for 10 s. */
void helper_finish(void);

/* Around fork(); in the child, where there is no such thread, forked. */
void helper_forking(void);
void helper_fork_done(void);
void helper_forked(void);

#endif
