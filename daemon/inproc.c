// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc.h"

#include <string.h>

#include "daemon/inproc_channel.h"
#include "daemon/log.h"
#include "daemon/worker.h"

void inproc_event(struct worker *w, const struct shared_event *event)
{
	int error;

	if (event->type == SHARED_EVENT_GUARD) {
		error = engine_inproc_guard(w->engine);
		if (error)
			log_error("the guard of in-process mode cannot be attached: %s",
				  strerror(-error));
		return;
	}
	if (event->type == SHARED_EVENT_SECRET) {
		if (w->inproc)
			inproc_cache_event(w->inproc->cache, event->value, loop_now(w->loop));
		return;
	}
	if (event->type == SHARED_EVENT_FORGET) {
		if (w->inproc)
			inproc_cache_forget_of(w->inproc->cache, &event->ends, event->chain);
		engine_lane_flushed(w->lane);
		return;
	}
	log_warning("a program in in-process mode wrote past the library; nothing of it was sent, "
		    "and its connection is reset");
	error = engine_destroy(event->cookie);
	if (error)
		log_error("its socket cannot be destroyed: %s", strerror(-error));
}
