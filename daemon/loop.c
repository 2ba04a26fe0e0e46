// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/container.h"

#define LOOP_BATCH 256

TAILQ_HEAD(loop_work_list, loop_work);

struct loop {
	int epoll_fd;
	bool stopping;
	double now;
	struct epoll_event batch[LOOP_BATCH];
	int batch_len;
	struct loop_work_list work;
	struct loop_source timer;
	void (*tick)(void *data);
	void *tick_data;
	bool (*idle)(void *data);
	void *idle_data;
	bool idle_wanted;
	bool (*look)(void *data, bool waits);
	void *look_data;
};

static void timer_fired(struct loop_source *source, uint32_t events)
{
	struct loop *l = container_of(source, struct loop, timer);
	uint64_t expirations;

	if (read(source->fd, &expirations, sizeof(expirations)) > 0 && l->tick)
		l->tick(l->tick_data);
}

int loop_new(struct loop **ret)
{
	struct itimerspec second = { { 1, 0 }, { 1, 0 } };
	struct loop *l = calloc(1, sizeof(*l));
	int error;

	if (!l)
		return -ENOMEM;
	TAILQ_INIT(&l->work);
	l->now = clock_monotonic();
	l->timer.handler = timer_fired;
	l->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->timer.fd < 0 || l->epoll_fd < 0 || timerfd_settime(l->timer.fd, 0, &second, NULL))
		error = -errno;
	else
		error = loop_add(l, &l->timer, EPOLLIN);
	if (error) {
		loop_free(l);
		return error;
	}
	*ret = l;
	return 0;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	if (l->timer.fd >= 0)
		close(l->timer.fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	free(l);
}

int loop_add(struct loop *l, struct loop_source *source, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = source };

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, source->fd, &ev) ? -errno : 0;
}

/* Events of this turn that are not handled yet must not reach it. */
static void batch_forget(struct loop *l, const struct loop_source *source)
{
	for (int i = 0; i < l->batch_len; i++)
		if (l->batch[i].data.ptr == source)
			l->batch[i].data.ptr = NULL;
}

void loop_remove(struct loop *l, struct loop_source *source)
{
	if (source->fd < 0)
		return;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, source->fd, NULL);
	batch_forget(l, source);
}

void loop_close(struct loop *l, struct loop_source *source)
{
	close(source->fd);
	source->fd = -1;
	batch_forget(l, source);
}

void loop_queue(struct loop *l, struct loop_work *work)
{
	if (work->queued)
		return;
	work->queued = true;
	TAILQ_INSERT_TAIL(&l->work, work, entry);
}

void loop_unqueue(struct loop *l, struct loop_work *work)
{
	if (!work->queued)
		return;
	work->queued = false;
	TAILQ_REMOVE(&l->work, work, entry);
}

void loop_set_tick(struct loop *l, void (*tick)(void *data), void *data)
{
	l->tick = tick;
	l->tick_data = data;
}

void loop_set_idle(struct loop *l, bool (*idle)(void *data), void *data)
{
	l->idle = idle;
	l->idle_data = data;
}

void loop_set_look(struct loop *l, bool (*look)(void *data, bool waits), void *data)
{
	l->look = look;
	l->look_data = data;
}

static bool look(struct loop *l, bool waits)
{
	return l->look && l->look(l->look_data, waits);
}

void loop_want_idle(struct loop *l)
{
	l->idle_wanted = l->idle != NULL;
}

/* What is queued meanwhile goes behind the last of this turn's and waits for the next. */
static void work_run(struct loop *l)
{
	struct loop_work *last = TAILQ_LAST(&l->work, loop_work_list);
	struct loop_work *work;
	bool more = last != NULL;

	while (more && (work = TAILQ_FIRST(&l->work))) {
		more = work != last;
		loop_unqueue(l, work);
		work->run(work);
	}
}

static void batch_dispatch(struct loop *l)
{
	for (int i = 0; i < l->batch_len; i++) {
		struct loop_source *source = l->batch[i].data.ptr;

		if (source)
			source->handler(source, l->batch[i].events);
	}
	l->batch_len = 0;
}

int loop_run(struct loop *l)
{
	while (!l->stopping) {
		bool busy = !TAILQ_EMPTY(&l->work) || (!l->idle_wanted && look(l, true));
		int timeout = busy || l->idle_wanted ? 0 : -1;
		int n = epoll_wait(l->epoll_fd, l->batch, LOOP_BATCH, timeout);

		if (n < 0 && errno != EINTR)
			return -errno;
		l->batch_len = n < 0 ? 0 : n;
		l->now = clock_monotonic();
		look(l, false);
		batch_dispatch(l);
		work_run(l);
		if (!busy && n == 0)
			l->idle_wanted = l->idle(l->idle_data);
	}
	return 0;
}

void loop_stop(struct loop *l)
{
	l->stopping = true;
}

double loop_now(const struct loop *l)
{
	return l->now;
}
