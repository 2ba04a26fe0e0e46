/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tells of connections that policy refused before they became flows: in the log and in the
 * ledger, as failed for the reason `policy`.
 */
#ifndef DAEMON_REFUSAL_H
#define DAEMON_REFUSAL_H

#include "daemon/worker.h"

struct refusals {
	struct loop_source source;
	struct worker *worker;
	double logged_since; /* this second's lines in the log */
	unsigned int logged;
	int error; /* of refusals_open() */
};

/* Reads them from now on, and tells of those that were refused while there was no daemon.
 * 0 or a negative errno value. */
int refusals_open(struct refusals *r, struct worker *w);

/* Reads them no more: another daemon does. */
void refusals_close(struct refusals *r);

#endif
