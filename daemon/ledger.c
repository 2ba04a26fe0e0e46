// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"

struct ledger {
	struct record *recent; /* ring of LEDGER_RECENT */
	size_t recent_first, recent_count;
	unsigned int slot;
	uint64_t *begun;
	struct ledger_totals totals;
	void (*watch)(void *data, enum ledger_event event, const struct record *r);
	void *watch_data;
};

static void tally_add(struct ledger_tally *t, const char *reason, uint64_t count)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->reason[i], reason))
			break;
	if (i == LEDGER_REASONS_MAX)
		return;
	if (i == t->n)
		t->reason[t->n++] = reason;
	t->count[i] += count;
}

static void tally_merge(struct ledger_tally *sum, const struct ledger_tally *t)
{
	for (size_t i = 0; i < t->n; i++)
		tally_add(sum, t->reason[i], t->count[i]);
}

struct ledger *ledger_new(unsigned int slot, uint64_t *begun)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->slot = slot;
	l->begun = begun;
	l->recent = calloc(LEDGER_RECENT, sizeof(*l->recent));
	if (!l->recent) {
		free(l);
		return NULL;
	}
	return l;
}

void ledger_free(struct ledger *l)
{
	if (!l)
		return;
	free(l->recent);
	free(l);
}

void ledger_set_watcher(struct ledger *l,
			void (*watch)(void *data, enum ledger_event event, const struct record *r),
			void *data)
{
	l->watch = watch;
	l->watch_data = data;
}

static void tell(const struct ledger *l, enum ledger_event event, const struct record *r)
{
	if (l->watch)
		l->watch(l->watch_data, event, r);
}

void ledger_begin(struct ledger *l, struct record *r)
{
	r->id = shared_flow_id(++*l->begun, l->slot);
	r->started = clock_wall();
	l->totals.live++;
}

void ledger_established(struct ledger *l, struct record *r)
{
	r->state = RECORD_ENCRYPTED;
	r->encrypted = true;
	l->totals.encrypted++;
	l->totals.resumed += r->resumed;
	if (!r->resumed && r->not_resumed)
		tally_add(&l->totals.fresh, r->not_resumed, 1);
	tell(l, LEDGER_ESTABLISHED, r);
}

void ledger_adopted(struct ledger *l, struct record *r)
{
	r->state = RECORD_ENCRYPTED;
	r->encrypted = true;
}

void ledger_forget(struct ledger *l, const struct record *r)
{
	l->totals.live--;
}

void ledger_plain(struct ledger *l, struct record *r, const char *reason)
{
	r->state = RECORD_PLAIN;
	r->reason = reason;
	tally_add(&l->totals.plain, reason, 1);
	tell(l, LEDGER_PLAIN, r);
}

void ledger_rekeyed(struct ledger *l, struct record *r)
{
	tell(l, LEDGER_REKEYED, r);
}

void ledger_end(struct ledger *l, struct record *r, const char *failed_reason)
{
	size_t at = (l->recent_first + l->recent_count) % LEDGER_RECENT;

	l->totals.live--;
	r->state = RECORD_CLOSED;
	r->ended = clock_wall();
	if (failed_reason) {
		/* Why it was plain says more than how it ended. */
		if (!r->reason)
			r->reason = failed_reason;
		r->failed = true;
		tally_add(&l->totals.failed, failed_reason, 1);
		tell(l, LEDGER_FAILED, r);
	} else {
		tell(l, LEDGER_CLOSED, r);
	}
	l->recent[at] = *r;
	if (l->recent_count < LEDGER_RECENT)
		l->recent_count++;
	else
		l->recent_first = (l->recent_first + 1) % LEDGER_RECENT;
}

size_t ledger_recent_count(const struct ledger *l)
{
	return l->recent_count;
}

const struct record *ledger_recent(const struct ledger *l, size_t i)
{
	return &l->recent[(l->recent_first + i) % LEDGER_RECENT];
}

void ledger_totals_add(struct ledger_totals *sum, const struct ledger *l)
{
	sum->live += l->totals.live;
	sum->encrypted += l->totals.encrypted;
	sum->resumed += l->totals.resumed;
	tally_merge(&sum->fresh, &l->totals.fresh);
	tally_merge(&sum->plain, &l->totals.plain);
	tally_merge(&sum->failed, &l->totals.failed);
}
