/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether new connections are taken: the limits that hold over all workers together. At a limit
 * the programs are paused, and connections go their way without us until there is room.
 */
#ifndef DAEMON_INTAKE_H
#define DAEMON_INTAKE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/engine.h"

struct intake {
	struct engine *engine;
	atomic_size_t flows, files;	    /* that there are */
	atomic_size_t max_flows, max_files; /* max_flows 0: as many as files allow */
	size_t files_others;		    /* descriptors that flows cannot have */
	atomic_bool closed, exhausted, paused;
	unsigned int quiet; /* so many ticks nothing is said of the limit */
	pthread_mutex_t lock; /* taken only when paused changes */
};

/* Closed, as the engine begins. n_workers: they need descriptors of their own. */
void intake_init(struct intake *in, struct engine *engine, unsigned int n_workers,
		 size_t max_flows);

void intake_set_max_flows(struct intake *in, size_t max_flows);

/* From now on new connections are taken while there is room, or none at all. */
void intake_set_closed(struct intake *in, bool closed);
bool intake_is_closed(const struct intake *in);

/* Are new connections left alone because there are as many as there may be? */
bool intake_is_at_limit(const struct intake *in);

/* The calling worker has so many flows, and descriptors for them, more or (negative) less. */
void intake_count(struct intake *in, int flows, int files);
size_t intake_flows(const struct intake *in);

/* Have flows all descriptors that they may have? Somewhat before that no new ones are taken. */
bool intake_is_full(const struct intake *in);

/* Descriptors or memory ran out, whatever was counted: nothing new until the next tick. Returns
 * false if that was known. */
bool intake_set_exhausted(struct intake *in);

/* Once a second, by the main thread: tries again; the limit of descriptors may have changed. Who is
 * at a limit reads so in the log, once a minute. */
void intake_tick(struct intake *in);

#endif
