// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/epolled.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <time.h>

#include "inproc/calls.h"
#include "inproc/calls_poll.h"
#include "inproc/moment.h"
#include "inproc/next.h"

#define READABLE    (EPOLLIN | EPOLLRDNORM)
#define NS_A_SECOND 1000000000

/* How a descriptor was put into an epoll set; if into several, into the last. */
static struct {
	_Atomic int set; /* plus 1; 0: into none */
	_Atomic uint32_t events;
	_Atomic uint64_t data;
	atomic_bool told; /* that there is nothing to read */
} places[TABLE_SIZE];

/* Descriptors (plus 1) by set and data, in one of a few neighbouring places. What finds no room
 * there is not known. */
#define INDEX_BITS 13
#define INDEX_SIZE (1 << INDEX_BITS)
#define INDEX_WAYS 4

static _Atomic int by_data[INDEX_SIZE + INDEX_WAYS];

/* What sockets were put into, or has got its number since. */
static atomic_bool sets[TABLE_SIZE];
static atomic_int sets_end;

/* No event is looked at: there are none of ours, or the program expects EAGAIN. */
static atomic_bool any, expects_nothing;

static _Atomic int *ways_of(int set, uint64_t data)
{
	uint64_t h = (data ^ (uint64_t)set << 32) * 0x9e3779b97f4a7c15;

	return &by_data[h >> (64 - INDEX_BITS)];
}

static bool is_at(int fd, int set, uint64_t data)
{
	return atomic_load(&places[fd].set) == set + 1 && atomic_load(&places[fd].data) == data;
}

/* Was way given to fd, or to one that is not there any more? */
static bool is_free(int way, int fd, const _Atomic int *ways)
{
	const int other = way - 1, set = way ? atomic_load(&places[other].set) - 1 : -1;

	return !way || other == fd || set < 0 ||
	       ways_of(set, atomic_load(&places[other].data)) != ways;
}

static void enter(int fd, int set, const struct epoll_event *event)
{
	_Atomic int *ways = ways_of(set, event->data.u64);

	atomic_store(&places[fd].set, 0);
	atomic_store(&places[fd].data, event->data.u64);
	atomic_store(&places[fd].events, event->events);
	atomic_store(&places[fd].set, set + 1);
	for (int i = 0; i < INDEX_WAYS; i++) {
		if (!is_free(atomic_load(&ways[i]), fd, ways))
			continue;
		atomic_store(&ways[i], fd + 1);
		atomic_store_explicit(&any, true, memory_order_relaxed);
		return;
	}
}

/* The descriptor of ours that an event is about; -1: none, or it may be another one's as well. */
static int find(int set, uint64_t data)
{
	const _Atomic int *ways = ways_of(set, data);
	int found = -1;

	for (int i = 0; i < INDEX_WAYS; i++) {
		const int fd = atomic_load(&ways[i]) - 1;

		if (fd < 0 || fd == found || !is_at(fd, set, data))
			continue;
		if (found >= 0)
			return -1;
		found = fd;
	}
	return found >= 0 && table_get(found) ? found : -1;
}

void epolled_new(int fd)
{
	if (table_holds(fd) && atomic_load_explicit(&places[fd].set, memory_order_relaxed))
		atomic_store(&places[fd].set, 0);
}

void epolled_read(int fd, bool nothing)
{
	if (atomic_load_explicit(&expects_nothing, memory_order_relaxed) || !places[fd].set)
		return;
	if (!nothing && places[fd].told)
		atomic_store(&expects_nothing, true);
	places[fd].told = nothing;
}

static void set_note(int set)
{
	int end = atomic_load(&sets_end);

	if (!table_holds(set) || atomic_load_explicit(&sets[set], memory_order_relaxed))
		return;
	atomic_store(&sets[set], true);
	while (end <= set && !atomic_compare_exchange_weak(&sets_end, &end, set + 1))
		;
}

void epolled_closing(int fd)
{
	for (int set = 0; set < atomic_load(&sets_end); set++)
		if (atomic_load(&sets[set]))
			next()->epoll_ctl(set, EPOLL_CTL_DEL, fd, NULL);
}

/* An event that is the program's only once: the next one is to be asked for again. */
static void renew(int set, int fd)
{
	struct epoll_event event = { .events = places[fd].events, .data.u64 = places[fd].data };
	const int saved = errno;

	if (event.events & EPOLLONESHOT)
		next()->epoll_ctl(set, EPOLL_CTL_MOD, fd, &event);
	errno = saved;
}

/* False: nothing is left of the event. */
static bool correct(int set, struct epoll_event *event)
{
	int fd;

	/* An error is the program's to hear of. */
	if (!(event->events & READABLE) || event->events & (EPOLLERR | EPOLLHUP))
		return true;
	fd = find(set, event->data.u64);
	if (fd < 0 || !calls_took_all(fd))
		return true;
	event->events &= ~READABLE;
	if (!event->events)
		renew(set, fd);
	return event->events;
}

/* Returns how many events are left. */
static int corrected(int set, struct epoll_event *events, int found)
{
	int left = 0;

	if (!atomic_load_explicit(&any, memory_order_relaxed) ||
	    atomic_load_explicit(&expects_nothing, memory_order_relaxed))
		return found;
	for (int i = 0; i < found; i++)
		if (correct(set, &events[i]))
			events[left++] = events[i];
	return left;
}

/* What the kernel waits for again, of which nothing was left. */
static bool is_over(int64_t end, int *timeout)
{
	const int64_t left = end - now_ns();

	if (*timeout < 0)
		return false;
	*timeout = left > 0 ? (left + 999999) / 1000000 : 0;
	return left <= 0;
}

static int64_t end_of(int timeout)
{
	return timeout > 0 ? now_ns() + timeout * 1000000LL : 0;
}

CALL int epoll_ctl(int set, int what, int fd, struct epoll_event *event)
{
	const bool ours = event && what != EPOLL_CTL_DEL && set >= 0 &&
			  (table_get(fd) || table_is_sole(fd));
	/* Before the first event. */
	struct epoll_event given = ours ? *event : (struct epoll_event){};

	if (ours)
		set_note(set);
	/* Who asks for edges has to expect EAGAIN. */
	if (ours && !(given.events & EPOLLET) &&
	    !atomic_load_explicit(&expects_nothing, memory_order_relaxed))
		enter(fd, set, &given);
	else
		epolled_new(fd);
	return next()->epoll_ctl(set, what, fd, event);
}

CALL int epoll_wait(int set, struct epoll_event *events, int n, int timeout)
{
	const int64_t end = end_of(timeout);
	int found, left;

	calls_send_held();
	do {
		found = next()->epoll_wait(set, events, n, timeout);
		left = found > 0 ? corrected(set, events, found) : found;
	} while (found > 0 && !left && !is_over(end, &timeout));
	return left;
}

CALL int epoll_pwait(int set, struct epoll_event *events, int n, int timeout, const sigset_t *mask)
{
	const int64_t end = end_of(timeout);
	int found, left;

	calls_send_held();
	do {
		found = next()->epoll_pwait(set, events, n, timeout, mask);
		left = found > 0 ? corrected(set, events, found) : found;
	} while (found > 0 && !left && !is_over(end, &timeout));
	return left;
}

/* What is left of a time that has begun at the given moment; false: nothing. */
static bool is_left(int64_t begun, const struct timespec *timeout, struct timespec *ret)
{
	const int64_t gone = now_ns() - begun;

	ret->tv_sec = timeout->tv_sec - gone / NS_A_SECOND;
	ret->tv_nsec = timeout->tv_nsec - gone % NS_A_SECOND;
	if (ret->tv_nsec < 0) {
		ret->tv_nsec += NS_A_SECOND;
		ret->tv_sec--;
	}
	return ret->tv_sec >= 0 && (ret->tv_sec || ret->tv_nsec);
}

/* Since glibc 2.35. */
CALL int epoll_pwait2(int set, struct epoll_event *events, int n, const struct timespec *timeout,
		      const sigset_t *mask)
{
	static int (*following)(int, struct epoll_event *, int, const struct timespec *,
				const sigset_t *);
	const struct timespec *wait = timeout;
	const int64_t begun = now_ns();
	struct timespec rest;
	int found, left;

	if (!following)
		*(void **)&following = dlsym(RTLD_NEXT, "epoll_pwait2");
	if (!following)
		return calls_result(-ENOSYS);
	calls_send_held();
	for (;;) {
		found = following(set, events, n, wait, mask);
		left = found > 0 ? corrected(set, events, found) : found;
		if (found <= 0 || left || (timeout && !is_left(begun, timeout, &rest)))
			return left;
		if (timeout)
			wait = &rest;
	}
}
