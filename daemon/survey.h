/* SPDX-License-Identifier: BSD-2-Clause */
/* What the workers know, put together: each is asked in its own thread. */
#ifndef DAEMON_SURVEY_H
#define DAEMON_SURVEY_H

#include "daemon/visitor.h"
#include "daemon/workers.h"

struct survey_totals {
	struct ledger_totals all;
	size_t live[SHARED_WORKERS_MAX]; /* by worker */
};

void survey_totals(struct workers *ws, struct survey_totals *ret);

struct survey_records {
	struct record *records; /* to be freed */
	size_t n, size;
	const struct visitor *visitor;
	bool recent;
	bool failed; /* out of memory */
};

/* Live connections that the visitor may see, with their counters as of now, oldest first; with
 * recent those that ended before them, LEDGER_RECENT at most. 0 or -ENOMEM. */
int survey_records(struct workers *ws, const struct visitor *visitor, bool recent,
		   struct survey_records *ret);

#endif
