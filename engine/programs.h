/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs as they are loaded, for engine.c and sockets.c alone. */
#ifndef ENGINE_PROGRAMS_H
#define ENGINE_PROGRAMS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "engine/engine.h"
#include "engine/hooks.h"
#include "engine/tc.h"

/* Generated, and not as strict as we are. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "programs.skel.h"
#pragma GCC diagnostic pop

#define NS_PER_SECOND 1000000000ULL

struct engine {
	struct programs *programs;
	struct shared_settings *settings; /* the settings map, mapped */
	struct shared_worker *workers;	  /* likewise, SHARED_SLOTS of them */
	struct shared_view *views;	  /* and SHARED_VIEWS */
	struct shared_opening *openings;  /* and SHARED_OPENINGS */
	uint64_t token;			  /* by which they know this daemon's sockets */
	struct window window;
	struct vault vault;
	struct hooks hooks;
	struct tc tc;
	struct guard *guard; /* whose maps the programs share */
	bool guarded;	     /* it is installed */
	int cgroup_fd;
	bool dying; /* programs' sockets wait for engine_time_out_run() */
	char cgroup[256];
	struct shared_settings own; /* what the settings are while this daemon serves */
	bool serves;		    /* and not another one */
	pthread_mutex_t lock;	    /* of the settings, but for the heartbeat */
};

/* What a daemon that was killed has left in memory that all share, of this slot's flows. */
void sockets_forget_slot(struct engine *e, uint32_t slot);

static inline uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
}

#endif
