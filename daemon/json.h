/* SPDX-License-Identifier: BSD-2-Clause */
/* The daemon's answers as JSON objects (doc/control.md). Each is a new reference, or NULL
 * without memory. */
#ifndef DAEMON_JSON_H
#define DAEMON_JSON_H

#include <jansson.h>

#include "daemon/control.h"
#include "daemon/ledger.h"
#include "daemon/survey.h"

json_t *json_of_record(const struct record *r);
json_t *json_of_event(const char *event, double time, const struct record *r);
json_t *json_of_status(const struct survey_totals *totals, unsigned int n_workers,
		       const struct control_status *status);

#endif
