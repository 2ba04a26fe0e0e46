// SPDX-License-Identifier: BSD-2-Clause
/* What clients of the control socket ask for: doc/control.md. */
#include <stdlib.h>

#include "daemon/client.h"
#include "daemon/clock.h"
#include "daemon/confine.h"
#include "daemon/flow.h"
#include "daemon/inproc_channel.h"
#include "daemon/json.h"
#include "daemon/news.h"
#include "daemon/resumption.h"
#include "daemon/succession.h"
#include "daemon/survey.h"

#define VERIFY_SECONDS 10
#define COUNTS_SECONDS 1

/* What may wait for somebody who is not trusted: some ten thousand connections. */
#define OUTPUT_OTHERS_MAX (8 << 20)

/* Older daemons, and how many connections they still have. */
static json_t *ending(const struct control *control)
{
	const struct elder *e;
	json_t *all = json_array();

	for (size_t i = 0; (e = succession_elder(control->status.succession, i)); i++) {
		size_t n = engine_flows(control->status.engine, e->first_slot, e->n_slots);

		json_array_append_new(all, json_pack("{s:i, s:I}", "pid", (int)e->pid,
						     "connections", (json_int_t)n));
	}
	return all;
}

static bool has_elders(const struct client *c)
{
	return succession_count(c->control->status.succession) > 0;
}

static void do_status(struct client *c, const struct request *request)
{
	struct control *control = c->control;
	struct survey_totals totals;
	json_t *o;

	survey_totals(control->workers, &totals);
	o = json_of_status(&totals, control->workers->n, &control->status);
	json_object_set_new(o, "resumable",
			    json_integer(resumption_count(control->status.resumption) +
					 inproc_cache_count(control->status.inproc->cache)));
	json_object_set_new(o, "at_limit",
			    json_boolean(intake_is_at_limit(&control->workers->intake)));
	json_object_set_new(o, "sandbox", confine_json(control->status.confinement));
	json_object_set_new(o, "ending", ending(control));
	client_say(c, o);
	c->state = CLIENT_ANSWERED;
}

/* false: it would be too much. */
static bool list_one(struct client *c, const struct record *r)
{
	if (!c->visitor.trusted && c->output_len > OUTPUT_OTHERS_MAX)
		return false;
	client_say(c, json_of_record(r));
	return true;
}

static void list(struct client *c)
{
	struct survey_records found;
	bool all = true;

	if (survey_records(c->control->workers, &c->visitor, c->recent, &found)) {
		client_error(c, "out of memory");
		return;
	}
	for (size_t i = 0; i < found.n; i++)
		all = all && list_one(c, &found.records[i]);
	free(found.records);
	c->state = CLIENT_ANSWERED;
	c->pass_on = all && has_elders(c);
	if (!all)
		client_error(c, "there are more connections than one answer may hold");
}

static void do_list(struct client *c, const struct request *request)
{
	c->recent = request->recent;
	if (!inproc_channel_ask(c->control->status.inproc, &c->visitor)) {
		list(c);
		return;
	}
	c->state = CLIENT_EXPECT_COUNTS;
	c->deadline = loop_now(c->control->loop) + COUNTS_SECONDS;
}

void commands_counted(struct control *control)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state != CLIENT_EXPECT_COUNTS)
			continue;
		list(c);
		c->deadline = loop_now(control->loop) + CLIENT_READ_SECONDS;
		client_flush(c);
	}
}

static void do_watch(struct client *c, const struct request *request)
{
	client_say(c, json_of_event("watching", clock_wall(), NULL));
	c->state = CLIENT_WATCHING;
	news_want(c->control->news, true);
}

static void do_flush(struct client *c, const struct request *request)
{
	resumption_flush(c->control->status.resumption);
	inproc_channel_flush(c->control->status.inproc);
	if (engine_forget_plain(c->control->status.engine)) {
		client_error(c, "the learned destinations could not be forgotten");
		return;
	}
	client_say(c, json_pack("{s:b}", "flushed", true));
	c->state = CLIENT_ANSWERED;
}

/* verify: the answer, with what is known of the connection now. */
static void verify_answer(struct client *c, const struct record *r, bool confirmed)
{
	json_t *o = json_of_record(r);

	json_object_set_new(o, "peer_confirmed", json_boolean(confirmed));
	json_object_set_new(o, "round_trip_ms",
			    confirmed ? json_real((clock_monotonic() - c->began) * 1000)
				      : json_null());
	client_say(c, o);
	c->state = CLIENT_ANSWERED;
}

/* A question about one flow, and what its worker says. */
struct verification {
	struct worker *worker;
	const struct visitor *visitor;
	const struct request *ends; /* or NULL: the flow with the id of the record */
	bool found;
	bool silent;  /* it is a program's that answers no questions */
	bool asked;   /* a key update is under way, */
	double began; /* since then */
	struct record record;
};

/* One of a program that encrypts by itself. */
static void verify_ask_program(struct verification *v)
{
	struct inproc_channel *channel = v->worker->inproc;
	struct inproc_conn *c = inproc_conns_find(&channel->conns, v->visitor, &v->ends->local,
						  &v->ends->peer);

	if (!c)
		return;
	v->found = true;
	v->asked = inproc_channel_prove(channel, c);
	v->silent = !v->asked;
	v->began = clock_monotonic();
	v->record = c->record;
}

static void verify_ask(void *data)
{
	struct verification *v = data;
	struct flow *f = v->ends ? flow_find(v->worker, &v->ends->local, &v->ends->peer)
				 : flow_find_id(v->worker, v->record.id);

	if (!f && v->ends && v->worker->inproc)
		verify_ask_program(v);
	if (!f || !visitor_may_see(v->visitor, &f->record))
		return;
	v->found = true;
	/* One that is under way already proves as much when it is answered. */
	v->asked = f->record.state != RECORD_NEGOTIATING && flow_rekey(f) >= 0;
	v->began = clock_monotonic();
	flow_record_update(f);
	v->record = f->record;
}

static void verify_go_on(struct client *c, const struct verification *v)
{
	c->record_id = v->record.id;
	c->generation = v->record.rekeys;
	if (v->record.state == RECORD_NEGOTIATING) {
		c->state = CLIENT_EXPECT_KEYS;
	} else if (v->asked) {
		c->began = v->began;
		c->state = CLIENT_EXPECT_REKEY;
	} else {
		verify_answer(c, &v->record, false);
	}
}

static void do_verify(struct client *c, const struct request *request)
{
	static const char not_found[] = "no such connection: not found among those of this daemon";
	struct workers *ws = c->control->workers;
	struct verification v = { .visitor = &c->visitor, .ends = request };

	/* Before anything can happen to the flow. */
	news_want(c->control->news, true);
	for (unsigned int i = 0; !v.found && i < ws->n; i++) {
		v.worker = &ws->all[i];
		worker_call(v.worker, verify_ask, &v);
	}
	if (!v.found && has_elders(c)) {
		c->state = CLIENT_ANSWERED;
		c->pass_on = true;
		c->if_none = not_found;
		return;
	}
	if (!v.found) {
		client_error(c, not_found);
		return;
	}
	if (v.silent) {
		client_error(c, "the program of this connection answers no questions");
		return;
	}
	c->deadline = loop_now(c->control->loop) + VERIFY_SECONDS;
	verify_go_on(c, &v);
}

/* The connection that the client waits for has its keys. */
static void verify_established(struct client *c)
{
	struct verification v = { .worker = workers_of_flow(c->control->workers, c->record_id),
				  .visitor = &c->visitor,
				  .record.id = c->record_id };

	worker_call(v.worker, verify_ask, &v);
	/* Otherwise it has ended, and that is the next that is heard of it. */
	if (v.found)
		verify_go_on(c, &v);
}

static void do_upgrade(struct client *c, const struct request *request)
{
	const char *error = succession_offer(c->control->status.succession, c->source.fd,
					     request->layout);

	if (error)
		client_error(c, error);
	c->state = CLIENT_ANSWERED;
}

static void (*const commands[REQUEST_N_COMMANDS])(struct client *, const struct request *) = {
	[REQUEST_STATUS] = do_status, [REQUEST_LIST] = do_list,	  [REQUEST_WATCH] = do_watch,
	[REQUEST_VERIFY] = do_verify, [REQUEST_FLUSH] = do_flush, [REQUEST_UPGRADE] = do_upgrade,
};

void client_request(struct client *c, size_t len)
{
	struct request request;
	const char *error = request_read(c->request, len, &request);

	c->request_len = len;
	if (error)
		client_error(c, error);
	else if ((request.command == REQUEST_FLUSH && !c->visitor.trusted) ||
		 (request.command == REQUEST_UPGRADE && c->visitor.uid != 0))
		client_error(c, "only root may do that");
	else
		commands[request.command](c, &request);
	if (c->state == CLIENT_ANSWERED)
		c->deadline = loop_now(c->control->loop) + CLIENT_READ_SECONDS;
}

void commands_verify_event(struct client *c, enum ledger_event event, const struct record *r)
{
	if (c->record_id != r->id)
		return;
	switch (event) {
	case LEDGER_ESTABLISHED:
		if (c->state == CLIENT_EXPECT_KEYS)
			verify_established(c);
		break;
	case LEDGER_REKEYED:
		if (c->state == CLIENT_EXPECT_REKEY && r->rekeys >= c->generation)
			verify_answer(c, r, true);
		break;
	case LEDGER_PLAIN:
	case LEDGER_FAILED:
	case LEDGER_CLOSED:
		verify_answer(c, r, false);
		break;
	}
}
