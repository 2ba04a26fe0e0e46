/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledgers' events on their way from the workers to the control socket: a queue, to which
 * workers add only while somebody wants to know.
 */
#ifndef DAEMON_NEWS_H
#define DAEMON_NEWS_H

#include <stdbool.h>

#include "daemon/ledger.h"
#include "daemon/loop.h"

struct news;

struct news_reader {
	/* One event; those of one worker come in their order. */
	void (*read)(void *data, enum ledger_event event, const struct record *r);
	/* Events were lost: there were more than can be kept. */
	void (*lost)(void *data);
	void *data;
};

/* The reader is called on the loop's thread. 0 or a negative errno value. */
int news_open(struct loop *loop, const struct news_reader *reader, struct news **ret);
/* Nobody tells any more. Accepts NULL. */
void news_close(struct news *n);

/* Until then, and after that, events that happen are not kept. */
void news_want(struct news *n, bool wanted);

/* By any thread: a ledger's watcher, with the news as its data. */
void news_tell(void *news, enum ledger_event event, const struct record *r);

/* Gives the reader what has come so far. */
void news_dispatch(struct news *n);

#endif
