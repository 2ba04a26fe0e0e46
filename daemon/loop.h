/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The event loop of one worker: file descriptors, work put off to the end of the turn, and
 * one tick a second. A source may be removed, and freed, from inside any handler.
 */
#ifndef DAEMON_LOOP_H
#define DAEMON_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/queue.h>

struct loop;

struct loop_source {
	int fd;
	void (*handler)(struct loop_source *source, uint32_t events);
};

/* Work that is run once at the end of a turn; requeueing from its own run is for the next. */
struct loop_work {
	TAILQ_ENTRY(loop_work) entry;
	bool queued;
	void (*run)(struct loop_work *work);
};

/* 0 or a negative errno value. */
int loop_new(struct loop **ret);
void loop_free(struct loop *l);

/* events as for epoll; the source must stay until it is removed. */
int loop_add(struct loop *l, struct loop_source *source, uint32_t events);
/* Before the descriptor is closed. Harmless for a source that was not added. */
void loop_remove(struct loop *l, struct loop_source *source);

/* Closes the source's descriptor, of which there must be no copy: with the last one epoll forgets
 * it by itself. The source's fd is -1 then. */
void loop_close(struct loop *l, struct loop_source *source);

void loop_queue(struct loop *l, struct loop_work *work);
void loop_unqueue(struct loop *l, struct loop_work *work);

/* Called about once a second. */
void loop_set_tick(struct loop *l, void (*tick)(void *data), void *data);

/* Called in turns that find nothing else to do, once after each loop_want_idle() and for as long
 * as it returns true. Between two calls the loop looks for events, so one should be short. */
void loop_set_idle(struct loop *l, bool (*idle)(void *data), void *data);
void loop_want_idle(struct loop *l);

/* For what tells of itself only while the loop waits: called when a turn begins, and with waits before
 * the loop waits, which it does not if true is returned. */
void loop_set_look(struct loop *l, bool (*look)(void *data, bool waits), void *data);

/* Runs until loop_stop(). 0 or a negative errno value. */
int loop_run(struct loop *l);
void loop_stop(struct loop *l);

/* CLOCK_MONOTONIC in seconds, as of the beginning of this turn. */
double loop_now(const struct loop *l);

#endif
