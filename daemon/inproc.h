/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon does for programs that encrypt by themselves (inproc/). */
#ifndef DAEMON_INPROC_H
#define DAEMON_INPROC_H

#include "bpf/shared.h"

struct worker;

/* SHARED_EVENT_GUARD, SHARED_EVENT_LEAK, SHARED_EVENT_SECRET and SHARED_EVENT_FORGET. */
void inproc_event(struct worker *w, const struct shared_event *event);

#endif
