// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "inproc/arena.h"
#include "inproc/epolled.h"
#include "inproc/kept.h"
#include "inproc/moment.h"
#include "inproc/next.h"
#include "inproc/report.h"
#include "inproc/section.h"
#include "inproc/stream.h"
#include "inproc/table.h"
#include "inproc/vessel.h"

#define PAUSE_MS       2     /* how long a program may leave a connection alone */
#define FINISH_MS      10000 /* how long the program's end waits while nothing is sent */
#define SWEEP_MS       1000
#define TRIM_MS	       1000
#define EVENTS_AT_ONCE 64
#define STACK_SIZE     (256 << 10)

struct watch {
	TAILQ_ENTRY(watch) entry;
	struct conn *c;
	int fd;
	bool polled;  /* in the epoll set, by its id */
	bool adopted; /* fd is ours */
	bool left;    /* c is not held for this one any more */
	uint64_t id;
	uint32_t calls;
	uint64_t due_ms;
};

TAILQ_HEAD(watches, watch);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct watches waiting = TAILQ_HEAD_INITIALIZER(waiting); /* the program may come back */
static struct watches polled = TAILQ_HEAD_INITIALIZER(polled);
static bool started, asleep;
static atomic_bool stopping;
static pthread_t thread;		       /* if started */
static atomic_int epoll_fd = -1, wake_fd = -1; /* nobody else closes them: kept.h */
static atomic_uint n_adopted, n_moved; /* n_moved: each time that something of those was sent */
static atomic_ullong last_id;	       /* 0 is wake_fd's */

#define CHANNEL_ID UINT64_MAX

/* The epoll set knows files, so that what moves stays in it. */
void helper_make_way(int fd)
{
	const int saved = errno;
	int moved;

	section_enter();
	pthread_mutex_lock(&lock);
	if (fd >= 0 && (fd == epoll_fd || fd == wake_fd)) {
		moved = next()->fcntl(fd, F_DUPFD_CLOEXEC, KEPT_FROM);
		if (fd == epoll_fd)
			epoll_fd = moved;
		else
			wake_fd = moved;
		kept_set(fd, false);
		kept_set(moved, true);
	}
	pthread_mutex_unlock(&lock);
	section_leave();
	vessel_make_way(fd);
	errno = saved;
}

/* Those that nobody needs at present. A handler's write() may have interrupted malloc(). */
static struct watches spare = TAILQ_HEAD_INITIALIZER(spare);

#define SLAB_SIZE (16u << 10)

/* With our lock. */
static void slab_add(void)
{
	struct watch *slab = mmap(NULL, SLAB_SIZE, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t i = 0; slab != MAP_FAILED && i < SLAB_SIZE / sizeof(*slab); i++)
		TAILQ_INSERT_TAIL(&spare, &slab[i], entry);
}

static struct watch *watch_get(void)
{
	struct watch *w;

	pthread_mutex_lock(&lock);
	if (TAILQ_EMPTY(&spare))
		slab_add();
	w = TAILQ_FIRST(&spare);
	if (w)
		TAILQ_REMOVE(&spare, w, entry);
	pthread_mutex_unlock(&lock);
	if (w)
		*w = (struct watch){};
	return w;
}

static void watch_put(struct watch *w)
{
	pthread_mutex_lock(&lock);
	TAILQ_INSERT_HEAD(&spare, w, entry);
	pthread_mutex_unlock(&lock);
}

static bool is_ours(const struct watch *w)
{
	return w->adopted || table_get(w->fd) == w->c;
}

/* With its connection's lock, and without ours. Ends the watch. */
static void drop(struct watch *w)
{
	struct conn *c = w->c;

	pthread_mutex_lock(&lock);
	if (w->polled)
		TAILQ_REMOVE(&polled, w, entry);
	pthread_mutex_unlock(&lock);
	/* The epoll set keeps it as long as anybody has the socket; if fd is another one's by
	 * now, then its events will find no watch. */
	if (w->polled && is_ours(w))
		next()->epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	if (w->adopted) {
		next()->close(w->fd);
		atomic_fetch_sub(&n_adopted, 1);
		atomic_fetch_add(&n_moved, 1);
		conn_unhold(c);
	} else if (!w->left) {
		conn_unwatch(c);
	}
	watch_put(w);
}

/* An error is the program's to hear of, and poll() shows it only until somebody has. */
static bool is_errors(const struct watch *w)
{
	struct pollfd p = { .fd = w->fd };

	return !w->adopted && next()->poll(&p, 1, 0) == 1 && p.revents & POLLERR &&
	       p.revents & POLLHUP;
}

static size_t unsent(const struct conn *c)
{
	return c->tx.queued + (c->tx.end - c->tx.start);
}

/* Somebody is to be told of urgent data by SIGURG. */
static bool looks_on(const struct conn *c)
{
	return c->urgent.owned && !c->eof &&
	       (c->phase == CONN_EXPECT_TCP || c->phase == CONN_EXPECT_KEYS ||
		c->phase == CONN_OPEN);
}

static bool is_done(struct watch *w)
{
	struct conn *c = w->c;
	const size_t before = unsent(c);
	bool finishes;
	int r;

	if (is_errors(w))
		return true;
	finishes = w->adopted && !c->resets;
	r = finishes && c->phase == CONN_OPEN ? tx_finish(c, w->fd, true) : conn_progress(c, w->fd);
	if (finishes && r == 0 && c->phase == CONN_OPEN)
		r = tx_finish(c, w->fd, true);
	if (w->adopted && unsent(c) != before)
		atomic_fetch_add(&n_moved, 1);
	if (!w->adopted && looks_on(c)) {
		rx_look_ahead(c, w->fd);
		return false;
	}
	if (!r && c->proving && c->phase == CONN_OPEN) {
		rx_take_update(c, w->fd);
		r = c->proving ? -EAGAIN : 0;
	}
	return r != -EAGAIN;
}

/* Something happened on a watched socket. */
static void look(struct watch *w)
{
	struct conn *c = w->c;
	bool ends;

	if (conn_lock(c))
		return;
	ends = !is_ours(w) || is_done(w);
	if (ends)
		drop(w);
	conn_unlock_release(c);
	if (ends)
		vessel_unuse(c);
}

/* False: there is nothing to wait for. */
static bool poll_begin(struct watch *w)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.u64 = w->id };

	w->polled = true;
	pthread_mutex_lock(&lock);
	TAILQ_INSERT_TAIL(&polled, w, entry);
	pthread_mutex_unlock(&lock);
	/* A connection that has moved may still be there. */
	return !next()->epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &event) ||
	       (errno == EEXIST && !next()->epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &event));
}

/* The program did not come back: from here on the socket's events are ours as well. */
static void take_over(struct watch *w)
{
	struct conn *c = w->c;
	bool ends = false;

	if (conn_lock(c))
		return;
	c->timer = 0;
	if (!is_ours(w)) {
		ends = true;
	} else if (!w->adopted && w->calls != c->tx.calls) {
		/* It is at work on it. */
		c->timer = lives_own();
		w->calls = c->tx.calls;
		w->due_ms = now_ms() + PAUSE_MS;
		pthread_mutex_lock(&lock);
		TAILQ_INSERT_TAIL(&waiting, w, entry);
		pthread_mutex_unlock(&lock);
	} else {
		ends = is_done(w) || !poll_begin(w);
	}
	if (ends)
		drop(w);
	conn_unlock_release(c);
	if (ends)
		vessel_unuse(c);
}

/* The watches whose time has come, one after the other; the time until the next. */
static int due(void)
{
	uint64_t now = now_ms();
	struct watch *w;

	for (;;) {
		pthread_mutex_lock(&lock);
		w = TAILQ_FIRST(&waiting);
		if (w && w->due_ms <= now)
			TAILQ_REMOVE(&waiting, w, entry);
		else
			break;
		pthread_mutex_unlock(&lock);
		take_over(w);
	}
	asleep = !w;
	pthread_mutex_unlock(&lock);
	if (w)
		return w->due_ms - now;
	return TAILQ_EMPTY(&polled) ? -1 : SWEEP_MS;
}

/* Those whose descriptor was closed. */
static void sweep(void)
{
	struct watch *w, *following;

	/* Only this thread changes this list. */
	for (w = TAILQ_FIRST(&polled); w; w = following) {
		following = TAILQ_NEXT(w, entry);
		if (!is_ours(w))
			look(w);
	}
}

/* Only this thread changes this list. */
static struct watch *find(uint64_t id)
{
	struct watch *w;

	TAILQ_FOREACH (w, &polled, entry)
		if (w->id == id)
			break;
	return w;
}

static void handle(uint64_t id)
{
	struct watch *w = find(id);
	uint64_t count;

	if (w)
		look(w);
	else if (id == CHANNEL_ID)
		report_ready();
	else if (!id && next()->read(wake_fd, &count, sizeof(count)) < 0)
		return;
}

static int sooner(int one, int other)
{
	return one < 0 || (other >= 0 && other < one) ? other : one;
}

/* Memory is given back a second after it was needed last, when this thread is awake, and once more
 * where some has stayed. */
static int trim(uint64_t now)
{
	static uint64_t next_ms;
	static bool more;

	if (now < next_ms)
		return more ? (int)(next_ms - now) : -1;
	more = arena_trim();
	next_ms = now + TRIM_MS;
	return more ? TRIM_MS : -1;
}

static int timeout(void)
{
	const uint64_t now = now_ms();

	return sooner(sooner(report_work(now), due()), trim(now));
}

static void *run(void *data)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int n;

	while (!atomic_load(&stopping)) {
		n = next()->epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, timeout());
		for (int i = 0; i < n; i++)
			handle(events[i].data.u64);
		sweep();
	}
	return NULL;
}

/* With our lock. */
static bool set_make(void)
{
	struct epoll_event wake = { .events = EPOLLIN };

	if (epoll_fd >= 0 && wake_fd >= 0)
		return true;
	epoll_fd = kept_move_up(epoll_create1(EPOLL_CLOEXEC));
	wake_fd = kept_move_up(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	kept_set(epoll_fd, true);
	kept_set(wake_fd, true);
	return epoll_fd >= 0 && wake_fd >= 0 &&
	       !next()->epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &wake);
}

/* With our lock. */
static bool start(void)
{
	pthread_attr_t attributes;
	sigset_t all, before;

	if (started)
		return true;
	if (!set_make())
		return false;
	/* The program's signals are the program's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	started = !pthread_create(&thread, &attributes, run, NULL);
	pthread_attr_destroy(&attributes);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return started;
}

bool helper_stop(void)
{
	const uint64_t one = 1;
	const int saved = errno;
	pthread_t ending;
	int cancel;
	bool runs;

	section_enter();
	pthread_mutex_lock(&lock);
	/* Another thread stops it already, or it does not run. */
	runs = started && !atomic_exchange(&stopping, true);
	ending = thread;
	pthread_mutex_unlock(&lock);
	section_leave();
	if (!runs)
		return false;
	if (next()->write(wake_fd, &one, sizeof(one)) < 0)
		errno = saved;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_join(ending, NULL);
	pthread_setcancelstate(cancel, NULL);
	section_enter();
	pthread_mutex_lock(&lock);
	started = asleep = false;
	atomic_store(&stopping, false);
	pthread_mutex_unlock(&lock);
	section_leave();
	errno = saved;
	return true;
}

static bool add(struct conn *c, int fd, bool adopted)
{
	struct watch *w = watch_get();
	const uint64_t one = 1;
	bool wake, ready;

	if (!w)
		return false;
	w->c = c;
	w->fd = fd;
	w->id = atomic_fetch_add(&last_id, 1) + 1;
	w->adopted = adopted;
	w->calls = c->tx.calls;
	w->due_ms = adopted ? 0 : now_ms() + PAUSE_MS;
	pthread_mutex_lock(&lock);
	ready = start();
	wake = asleep || adopted;
	if (ready && adopted)
		TAILQ_INSERT_HEAD(&waiting, w, entry);
	else if (ready)
		TAILQ_INSERT_TAIL(&waiting, w, entry);
	asleep = false;
	pthread_mutex_unlock(&lock);
	if (!ready) {
		watch_put(w);
		return false;
	}
	vessel_use(c);
	if (adopted) {
		conn_hold(c);
		atomic_fetch_add(&n_adopted, 1);
	}
	if (wake)
		next()->write(wake_fd, &one, sizeof(one));
	return true;
}

void helper_wake(void)
{
	const uint64_t one = 1;
	int saved = errno;
	bool ready;

	section_enter();
	pthread_mutex_lock(&lock);
	ready = start();
	pthread_mutex_unlock(&lock);
	section_leave();
	if (ready && next()->write(wake_fd, &one, sizeof(one)) < 0)
		errno = saved;
	errno = saved;
}

void helper_poll(int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = CHANNEL_ID };

	next()->epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

void helper_watch(struct conn *c, int fd)
{
	int saved = errno;

	if (conn_watch(c)) {
		if (add(c, fd, false))
			c->timer = lives_own();
		else
			conn_unwatch(c);
	}
	errno = saved;
}

static void leave(struct watch *w, struct conn *c)
{
	if (w->c != c || w->adopted || w->left)
		return;
	w->left = true;
	conn_unwatch(c);
}

void helper_leave(struct conn *c)
{
	struct watch *w;

	pthread_mutex_lock(&lock);
	TAILQ_FOREACH (w, &polled, entry)
		leave(w, c);
	TAILQ_FOREACH (w, &waiting, entry)
		leave(w, c);
	pthread_mutex_unlock(&lock);
}

/* As long as the kernel has the connection, it is still to be finished; of a peer that is gone it
 * would not hear while it has nothing to send. */
static void notice_death(int fd)
{
	const int on = 1, idle_s = 60, interval_s = 10, probes = 6;

	next()->setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	next()->setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
	next()->setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
	next()->setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

/* The last resort: no descriptor, memory or thread is left, so the program waits. */
static void finish_here(struct conn *c, int fd)
{
	struct watch w = { .c = c, .fd = fd, .adopted = true };
	size_t left = unsent(c);

	conn_hold(c);
	for (int idle_ms = 0; !is_done(&w) && idle_ms < FINISH_MS; idle_ms += PAUSE_MS) {
		if (unsent(c) != left)
			idle_ms = 0;
		left = unsent(c);
		conn_unlock(c);
		next()->poll(NULL, 0, PAUSE_MS);
		if (conn_lock(c))
			return;
	}
	conn_unhold(c);
}

void helper_adopt(struct conn *c, int fd)
{
	int saved = errno;
	int copy = next()->fcntl(fd, F_DUPFD_CLOEXEC, KEPT_FROM);

	/* Beyond what the process may have. */
	if (copy < 0)
		copy = next()->fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0) {
		finish_here(c, fd);
	} else {
		epolled_closing(fd);
		notice_death(copy);
		if (!add(c, copy, true)) {
			next()->close(copy);
			finish_here(c, fd);
		}
	}
	errno = saved;
}

void helper_finish(void)
{
	const struct timespec pause = { .tv_nsec = 1000000 };

	unsigned int moved, seen = atomic_load(&n_moved);

	for (int idle_ms = 0; idle_ms < FINISH_MS && atomic_load(&n_adopted); idle_ms++) {
		moved = atomic_load(&n_moved);
		if (moved != seen)
			idle_ms = 0;
		seen = moved;
		nanosleep(&pause, NULL);
	}
	report_finish();
}

void helper_forking(void)
{
	report_forking();
	pthread_mutex_lock(&lock);
}

void helper_fork_done(void)
{
	pthread_mutex_unlock(&lock);
	report_fork_done();
}

/* The parent's. */
static void forget(const struct watch *w)
{
	if (w->adopted)
		next()->close(w->fd);
	vessel_unuse(w->c);
}

void helper_forked(void)
{
	struct watch *w;

	pthread_mutex_init(&lock, NULL);
	report_forked();
	TAILQ_FOREACH (w, &polled, entry)
		forget(w);
	TAILQ_FOREACH (w, &waiting, entry)
		forget(w);
	TAILQ_INIT(&polled);
	TAILQ_INIT(&waiting);
	kept_set(epoll_fd, false);
	kept_set(wake_fd, false);
	if (epoll_fd >= 0)
		next()->close(epoll_fd);
	if (wake_fd >= 0)
		next()->close(wake_fd);
	epoll_fd = wake_fd = -1;
	started = asleep = false;
	atomic_store(&stopping, false);
	atomic_store(&n_adopted, 0);
}
