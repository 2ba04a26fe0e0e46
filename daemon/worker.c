// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/aeads.h"
#include "daemon/carry.h"
#include "daemon/container.h"
#include "daemon/flow.h"
#include "daemon/incoming.h"
#include "daemon/liveness.h"
#include "daemon/inproc.h"
#include "daemon/inproc_channel.h"
#include "daemon/log.h"
#include "daemon/outgoing.h"
#include "daemon/wish.h"

/* What flows hold: two sockets, and two pipes when bytes of a plain one wait. */
#define FILES_A_FLOW  2
#define FILES_A_PLAIN 4

/* SHARED_EVENT_PLAIN */
static void plain_event(const struct shared_event *event)
{
	int error = engine_destroy(event->cookie);

	log_warning("a plain connection to a server that wants none is reset");
	if (error)
		log_error("its socket cannot be destroyed: %s", strerror(-error));
}

static void event_handle(const struct shared_event *event, void *data)
{
	switch ((enum shared_event_type)event->type) {
	case SHARED_EVENT_HELD_SYN:
	case SHARED_EVENT_GAVE_UP:
	case SHARED_EVENT_REMEMBERED:
		outgoing_event(data, event);
		break;
	case SHARED_EVENT_REKEY:
	case SHARED_EVENT_MANDATORY:
	case SHARED_EVENT_CACHE_FLUSH:
		wish_event(data, event);
		break;
	case SHARED_EVENT_OPTIONS:
		carry_event(data, event);
		break;
	case SHARED_EVENT_PLAIN:
		plain_event(event);
		break;
	case SHARED_EVENT_GUARD:
	case SHARED_EVENT_LEAK:
	case SHARED_EVENT_SECRET:
	case SHARED_EVENT_FORGET:
		inproc_event(data, event);
		break;
	}
}

static void events_ready(struct loop_source *source, uint32_t events)
{
	/* The turn has begun with look(). */
}

static const char *overdue_reason(const struct flow *f)
{
	if (f->gone_reason)
		return f->gone_reason;
	/* With keys it was the program, the server, or the peer's FIN that did not come. */
	return f->session && !f->established ? "handshake-timeout" : "timeout";
}

/* Not when one is taken: that connection's answer is on its way, and would wait. */
static void want_keypairs(struct worker *w)
{
	if (w->keypairs.n < KEYPAIRS_MAX)
		loop_want_idle(w->loop);
}

/* Once a second: deadlines, new keys, probes. */
static void tick(void *data)
{
	struct worker *w = data;
	struct flow *f, *next;

	w->alive = loop_now(w->loop);
	for (f = TAILQ_FIRST(&w->waiting); f; f = next) {
		next = TAILQ_NEXT(f, waiting_entry);
		if (f->deadline < loop_now(w->loop))
			flow_abort(f, overdue_reason(f), ECONNRESET);
		else if (f->state == FLOW_EXPECT_SERVER)
			incoming_again(f);
		else if (f->gone_reason)
			/* Nothing else tells that the kernel has sent the rest. */
			loop_queue(w->loop, &f->again);
	}
	liveness_tick(w);
	buffer_pool_tick(&w->buffers);
	want_keypairs(w);
	if (w->inproc)
		inproc_channel_tick(w->inproc);
	outgoing_tick(w);
	carry_tick(w);
	listener_resume(&w->programs);
	outgoing_resume(w);
	listener_resume(&w->steered);
}

static bool look(void *data, bool waits)
{
	struct worker *w = data;
	bool any = engine_lane_dispatch(w->lane, waits, event_handle, w);

	outgoing_looked(w);
	return any;
}

/* Nothing else is to be done: key pairs for connections to come. */
static bool idle(void *data)
{
	struct worker *w = data;

	return keypairs_make(&w->keypairs);
}

struct tcpcrypt_keypair *worker_keypair(struct worker *w, uint8_t tep)
{
	return keypairs_take(&w->keypairs, tep);
}

static int events_open(struct worker *w)
{
	w->events.fd = engine_lane_fd(w->lane);
	w->events.handler = events_ready;
	return loop_add(w->loop, &w->events, EPOLLIN);
}

int worker_init(struct worker *w, const struct worker_params *p)
{
	int error;

	w->index = p->index;
	w->slot = p->slot;
	w->engine = p->engine;
	w->intake = p->intake;
	w->resumption = p->resumption;
	w->crypto = p->crypto;
	TAILQ_INIT(&w->flows);
	TAILQ_INIT(&w->waiting);
	outgoing_init(w);
	for (size_t i = 0; i < WORKER_ID_BUCKETS; i++)
		TAILQ_INIT(&w->by_id[i]);
	error = loop_new(&w->loop);
	if (!error)
		error = worker_configure(w, p->config, p->keylog_fd);
	if (!error)
		error = engine_lane_open(w->engine, w->slot, &w->lane);
	if (!error) {
		w->ledger = ledger_new(w->slot, engine_lane_begun(w->lane));
		error = w->ledger ? 0 : -ENOMEM;
	}
	if (!error)
		error = events_open(w);
	if (!error)
		error = call_open(&w->call, w->loop);
	if (error)
		return error;
	w->alive = loop_now(w->loop);
	loop_set_tick(w->loop, tick, w);
	loop_set_idle(w->loop, idle, w);
	loop_set_look(w->loop, look, w);
	loop_want_idle(w->loop);
	return 0;
}

int worker_configure(struct worker *w, const struct config *config, int keylog_fd)
{
	const struct shared_wishes none = {};

	w->config = config;
	w->keylog_fd = keylog_fd;
	keypairs_set(&w->keypairs, w->crypto, config->teps[0]);
	loop_want_idle(w->loop);
	return wish_offer(w, &none, &w->offer);
}

static void flows_abort(struct worker *w)
{
	struct flow *f;

	while ((f = TAILQ_FIRST(&w->flows)))
		flow_abort(f, "daemon", ECONNRESET);
}

void worker_deinit(struct worker *w)
{
	flows_abort(w);
	call_close(&w->call);
	keypairs_deinit(&w->keypairs);
	buffer_pool_deinit(&w->buffers);
	pipe_pool_deinit(&w->pipes);
	listener_close(&w->programs);
	listener_close(&w->steered);
	ledger_free(w->ledger);
	engine_lane_close(w->lane);
	loop_free(w->loop);
	memset(w, 0, sizeof(*w));
}

static void *thread_main(void *data)
{
	struct worker *w = data;
	char name[16];
	int error;

	snprintf(name, sizeof(name), "worker-%u", w->index);
	pthread_setname_np(pthread_self(), name);
	error = aeads_begin();
	if (!error)
		error = loop_run(w->loop);
	if (error) {
		/* Its flows cannot go on, and those of others must not end for it by halves: the
		 * kernel resets them all, as it does when a daemon dies. */
		log_error("a worker's event loop failed: %s", strerror(-error));
		_exit(EXIT_FAILURE);
	}
	/* Those that came in the loop's last turn: their keys are this thread's. */
	flows_abort(w);
	aeads_end();
	return NULL;
}

int worker_start(struct worker *w)
{
	int error = -pthread_create(&w->thread, NULL, thread_main, w);

	w->running = !error;
	return error;
}

void worker_call(struct worker *w, void (*run)(void *data), void *data)
{
	if (w->running)
		call_run(&w->call, run, data);
	else
		run(data);
}

static void stop(void *data)
{
	struct worker *w = data;

	flows_abort(w);
	loop_stop(w->loop);
}

void worker_stop(struct worker *w)
{
	if (!w->running)
		return;
	worker_call(w, stop, w);
	pthread_join(w->thread, NULL);
	w->running = false;
}

void worker_count_flow(struct worker *w, int change)
{
	w->n_flows += change;
	if (change < 0)
		want_keypairs(w);
	engine_lane_set_flows(w->lane, w->n_flows);
	intake_count(w->intake, change, change * FILES_A_FLOW);
}

void worker_count_plain(struct worker *w, int change)
{
	intake_count(w->intake, 0, change * FILES_A_PLAIN);
}

bool worker_is_full(const struct worker *w)
{
	return intake_is_full(w->intake);
}

bool worker_is_exhausted(const struct worker *w, int error)
{
	if (error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ENOBUFS)
		return false;
	if (intake_set_exhausted(w->intake))
		log_warning("new connections wait or are left alone: %s", strerror(-error));
	return true;
}
