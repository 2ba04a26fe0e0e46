// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "daemon/clock.h"

#define REASONS_MAX 64

/* Counts by reason; reasons are few and static. */
struct tally {
	const char *reason[REASONS_MAX];
	uint64_t count[REASONS_MAX];
	size_t n;
};

struct ledger {
	struct record_list live;
	size_t live_count;
	struct record *recent; /* ring of LEDGER_RECENT */
	size_t recent_first, recent_count;
	uint64_t next_id;
	uint64_t encrypted;
	struct tally plain, failed;
	void (*watch)(void *data, enum ledger_event event, const struct record *r);
	void *watch_data;
};

static void tally_add(struct tally *t, const char *reason)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->reason[i], reason))
			break;
	if (i == REASONS_MAX)
		return;
	if (i == t->n)
		t->reason[t->n++] = reason;
	t->count[i]++;
}

static const char *tally_get(const struct tally *t, size_t i, uint64_t *ret_count)
{
	if (i >= t->n)
		return NULL;
	*ret_count = t->count[i];
	return t->reason[i];
}

struct ledger *ledger_new(void)
{
	struct ledger *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	TAILQ_INIT(&l->live);
	l->next_id = 1;
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
	r->id = l->next_id++;
	r->started = clock_wall();
	TAILQ_INSERT_TAIL(&l->live, r, entry);
	l->live_count++;
}

void ledger_established(struct ledger *l, struct record *r)
{
	r->state = RECORD_ENCRYPTED;
	r->encrypted = true;
	l->encrypted++;
	tell(l, LEDGER_ESTABLISHED, r);
}

void ledger_plain(struct ledger *l, struct record *r, const char *reason)
{
	r->state = RECORD_PLAIN;
	r->reason = reason;
	tally_add(&l->plain, reason);
	tell(l, LEDGER_PLAIN, r);
}

void ledger_rekeyed(struct ledger *l, struct record *r)
{
	tell(l, LEDGER_REKEYED, r);
}

void ledger_end(struct ledger *l, struct record *r, const char *failed_reason)
{
	size_t at = (l->recent_first + l->recent_count) % LEDGER_RECENT;

	TAILQ_REMOVE(&l->live, r, entry);
	l->live_count--;
	r->state = RECORD_CLOSED;
	r->ended = clock_wall();
	if (failed_reason) {
		/* Why it was plain says more than how it ended. */
		if (!r->reason)
			r->reason = failed_reason;
		r->failed = true;
		tally_add(&l->failed, failed_reason);
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

const struct record_list *ledger_live(const struct ledger *l)
{
	return &l->live;
}

size_t ledger_live_count(const struct ledger *l)
{
	return l->live_count;
}

size_t ledger_recent_count(const struct ledger *l)
{
	return l->recent_count;
}

const struct record *ledger_recent(const struct ledger *l, size_t i)
{
	return &l->recent[(l->recent_first + i) % LEDGER_RECENT];
}

uint64_t ledger_total_encrypted(const struct ledger *l)
{
	return l->encrypted;
}

const char *ledger_total_plain(const struct ledger *l, size_t i, uint64_t *ret_count)
{
	return tally_get(&l->plain, i, ret_count);
}

const char *ledger_total_failed(const struct ledger *l, size_t i, uint64_t *ret_count)
{
	return tally_get(&l->failed, i, ret_count);
}
