// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/news.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "daemon/container.h"

#define ITEMS_MAX 16384 /* a few megabytes */

struct item {
	STAILQ_ENTRY(item) entry;
	enum ledger_event event;
	struct record record;
};

STAILQ_HEAD(item_list, item);

struct news {
	struct loop *loop;
	struct loop_source source; /* an eventfd: there are items */
	struct news_reader reader;
	atomic_bool wanted;
	pthread_mutex_t lock; /* for the rest */
	struct item_list items;
	size_t n_items;
	bool lost;
};

static void ready(struct loop_source *source, uint32_t events)
{
	struct news *n = container_of(source, struct news, source);
	eventfd_t count;

	if (!eventfd_read(source->fd, &count))
		news_dispatch(n);
}

int news_open(struct loop *loop, const struct news_reader *reader, struct news **ret)
{
	struct news *n = calloc(1, sizeof(*n));
	int error;

	if (!n)
		return -ENOMEM;
	n->loop = loop;
	n->reader = *reader;
	STAILQ_INIT(&n->items);
	pthread_mutex_init(&n->lock, NULL);
	n->source.handler = ready;
	n->source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = n->source.fd < 0 ? -errno : loop_add(loop, &n->source, EPOLLIN);
	if (error) {
		news_close(n);
		return error;
	}
	*ret = n;
	return 0;
}

static void items_free(struct item_list *items)
{
	struct item *i;

	while ((i = STAILQ_FIRST(items))) {
		STAILQ_REMOVE_HEAD(items, entry);
		free(i);
	}
}

void news_close(struct news *n)
{
	if (!n)
		return;
	if (n->source.fd >= 0) {
		loop_remove(n->loop, &n->source);
		close(n->source.fd);
	}
	items_free(&n->items);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

void news_want(struct news *n, bool wanted)
{
	n->wanted = wanted;
}

static struct item *item_new(enum ledger_event event, const struct record *r)
{
	struct item *i = malloc(sizeof(*i));

	if (!i)
		return NULL;
	i->event = event;
	i->record = *r;
	return i;
}

void news_tell(void *news, enum ledger_event event, const struct record *r)
{
	struct news *n = news;
	struct item *i;
	bool first;

	if (!n->wanted)
		return;
	i = item_new(event, r);
	pthread_mutex_lock(&n->lock);
	first = STAILQ_EMPTY(&n->items) && !n->lost;
	if (i && n->n_items < ITEMS_MAX) {
		STAILQ_INSERT_TAIL(&n->items, i, entry);
		n->n_items++;
		i = NULL;
	} else {
		n->lost = true;
	}
	pthread_mutex_unlock(&n->lock);
	free(i);
	if (first)
		eventfd_write(n->source.fd, 1);
}

void news_dispatch(struct news *n)
{
	struct item_list items = STAILQ_HEAD_INITIALIZER(items);
	struct item *i;
	bool lost;

	pthread_mutex_lock(&n->lock);
	STAILQ_CONCAT(&items, &n->items);
	n->n_items = 0;
	lost = n->lost;
	n->lost = false;
	pthread_mutex_unlock(&n->lock);
	STAILQ_FOREACH(i, &items, entry)
	n->reader.read(n->reader.data, i->event, &i->record);
	items_free(&items);
	if (lost)
		n->reader.lost(n->reader.data);
}
