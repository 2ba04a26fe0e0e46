// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/survey.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/flow.h"
#include "daemon/inproc_channel.h"

/* One worker's part of a survey. */
struct question {
	const struct worker *worker;
	void *answer;
};

static void ask_all(struct workers *ws, void (*ask)(void *question), void *answer)
{
	for (unsigned int i = 0; i < ws->n; i++) {
		struct question q = { &ws->all[i], answer };

		worker_call(&ws->all[i], ask, &q);
	}
}

static void totals_of(void *data)
{
	const struct question *q = data;
	struct survey_totals *t = q->answer;
	size_t before = t->all.live;

	ledger_totals_add(&t->all, q->worker->ledger);
	t->live[q->worker->index] = t->all.live - before;
}

void survey_totals(struct workers *ws, struct survey_totals *ret)
{
	memset(ret, 0, sizeof(*ret));
	ask_all(ws, totals_of, ret);
}

static void record_add(struct survey_records *s, const struct record *r)
{
	size_t size = s->size ? 2 * s->size : 256;
	struct record *grown;

	if (s->n == s->size) {
		grown = reallocarray(s->records, size, sizeof(*grown));
		if (!grown) {
			s->failed = true;
			return;
		}
		s->records = grown;
		s->size = size;
	}
	s->records[s->n++] = *r;
}

/* Those of programs that encrypt by themselves. */
static void inproc_records_of(const struct inproc_channel *channel, struct survey_records *s)
{
	const struct inproc_conn *c;

	TAILQ_FOREACH (c, &channel->conns.all, entry)
		if (visitor_may_see(s->visitor, &c->record))
			record_add(s, &c->record);
}

static void records_of(void *data)
{
	const struct question *q = data;
	struct survey_records *s = q->answer;
	struct flow *f;

	for (size_t i = 0; s->recent && i < ledger_recent_count(q->worker->ledger); i++) {
		const struct record *r = ledger_recent(q->worker->ledger, i);

		if (visitor_may_see(s->visitor, r))
			record_add(s, r);
	}
	TAILQ_FOREACH (f, &q->worker->flows, all_entry) {
		if (!visitor_may_see(s->visitor, &f->record))
			continue;
		flow_record_update(f);
		record_add(s, &f->record);
	}
	if (q->worker->inproc)
		inproc_records_of(q->worker->inproc, s);
}

static int order(double a, double b)
{
	return (a > b) - (a < b);
}

/* Ended ones first, each kind by its age. */
static int records_order(const void *a, const void *b)
{
	const struct record *one = a, *other = b;
	bool live = one->state != RECORD_CLOSED, other_live = other->state != RECORD_CLOSED;

	if (live != other_live)
		return live - other_live;
	if (!live && one->ended != other->ended)
		return order(one->ended, other->ended);
	if (one->started != other->started)
		return order(one->started, other->started);
	return (one->id > other->id) - (one->id < other->id);
}

/* Of those that ended, all workers together remember no more than each may. */
static void recent_limit(struct survey_records *s)
{
	size_t ended = 0;

	while (ended < s->n && s->records[ended].state == RECORD_CLOSED)
		ended++;
	if (ended <= LEDGER_RECENT)
		return;
	s->n -= ended - LEDGER_RECENT;
	memmove(s->records, s->records + ended - LEDGER_RECENT, s->n * sizeof(*s->records));
}

int survey_records(struct workers *ws, const struct visitor *visitor, bool recent,
		   struct survey_records *ret)
{
	*ret = (struct survey_records){ .visitor = visitor, .recent = recent };
	ask_all(ws, records_of, ret);
	if (ret->failed) {
		free(ret->records);
		ret->records = NULL;
		return -ENOMEM;
	}
	if (ret->n)
		qsort(ret->records, ret->n, sizeof(*ret->records), records_order);
	recent_limit(ret);
	return 0;
}
