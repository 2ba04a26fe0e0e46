// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/table.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "inproc/helper.h"
#include "inproc/boarding.h"
#include "inproc/next.h"
#include "inproc/stream.h"
#include "inproc/turns.h"
#include "inproc/vessel.h"

/* How long to wait for another thread's close(): SO_LINGER may hold it. */
#define SETTLE_YIELDS 1000
#define SETTLE_MS     1000

struct conn *_Atomic table[TABLE_SIZE];
atomic_int table_end;

static pid_t owner;

/* In a page that the kernel wipes in children with memory of their own. NULL: no memory. */
static atomic_bool *counted;

__attribute__((constructor(102))) static void owner_note(void)
{
	const size_t size = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	owner = getpid();
	if (page == MAP_FAILED || madvise(page, size, MADV_WIPEONFORK))
		return;
	counted = page;
	*counted = true;
}

bool table_is_uncounted(void)
{
	return counted && !*counted;
}

/* Which of a slot's connections an entry means: see table_is_uncounted(). */
static uint32_t entered[TABLE_SIZE];

static void table_set(int fd, struct conn *c)
{
	int end = atomic_load(&table_end);

	vessel_use(c);
	entered[fd] = c->life;
	while (end <= fd && !atomic_compare_exchange_weak(&table_end, &end, fd + 1))
		;
	atomic_store_explicit(&table[fd], c, memory_order_release);
}

/* Does the program want fd to live through execve()? */
static atomic_bool inherited[TABLE_SIZE];

static void inheritance_take(int fd)
{
	const int flags = next()->fcntl(fd, F_GETFD);

	inherited[fd] = flags >= 0 && !(flags & FD_CLOEXEC);
	if (inherited[fd])
		next()->fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
}

/* With the lock of fd's connection, so that nobody closes fd meanwhile. */
static void inheritance_return(int fd)
{
	if (inherited[fd])
		next()->fcntl(fd, F_SETFD, 0);
}

bool table_inherited(int fd)
{
	return inherited[fd];
}

void table_inherits(int fd, bool yes)
{
	inherited[fd] = yes;
}

void table_enter(int fd, struct conn *c)
{
	inheritance_take(fd);
	table_set(fd, c);
}

/* Whose entry is being closed. */
static struct conn closing;

/* Takes fd's entry out, with its reference; NULL: there is none, or it is not this process's to
 * take: after vfork(), the table is the parent's. */
static struct conn *take(int fd, struct conn *instead)
{
	struct conn *c = table_get(fd);

	if (!c || c == &closing || getpid() != owner)
		return NULL;
	return atomic_compare_exchange_strong(&table[fd], &c, instead) ? c : NULL;
}

/* What it was goes on as the program's own. */
static void let_go(int fd)
{
	struct conn *c = take(fd, NULL);

	if (!c || conn_lock_still(c))
		return;
	conn_unref(c, lives_own());
	conn_unlock_release(c);
	vessel_unuse(c);
}

void table_gone(int fd)
{
	if (table_get(fd))
		turns_end(fd, false);
	let_go(fd);
}

/* What stands for fd when no other thread is closing it; &closing: it goes on doing so. */
static struct conn *settled(int fd)
{
	const struct timespec pause = { .tv_nsec = 1000000 };
	struct conn *c = table_get(fd);

	for (int i = 0; c == &closing && i < SETTLE_YIELDS + SETTLE_MS; i++) {
		if (i < SETTLE_YIELDS)
			sched_yield();
		else
			nanosleep(&pause, NULL);
		c = table_get(fd);
	}
	return c;
}

bool table_is_ours(int fd)
{
	const struct conn *c = table_get(fd) ? settled(fd) : NULL;

	return c && c != &closing;
}

/* Locked by whichever of the two; NULL: it is not fd's. */
static struct conn *locked(int fd, int (*lock)(struct conn *))
{
	struct conn *c = table_get(fd);

	if (!c || c == &closing || lock(c))
		return NULL;
	if (table_get(fd) == c && entered[fd] == c->life)
		return c;
	conn_unlock(c);
	return NULL;
}

struct conn *table_lock(int fd)
{
	return locked(fd, conn_lock);
}

struct conn *table_look(int fd)
{
	return locked(fd, conn_lock_still);
}

/* fd's connection is another one by now, or has moved. */
static bool is_elsewhere(int fd, const struct conn *c)
{
	const struct conn *now = table_get(fd);

	return now && now != c && now != &closing;
}

/* From connect() that was killed nobody returns. */
static void connector_look(struct conn *c)
{
	if (c->connecting && c->connector && lives_ended(c->connector))
		c->connecting = false;
}

struct conn *table_use(int fd, int *ret_error)
{
	struct conn *c;

	do {
		c = settled(fd);
		*ret_error = c == &closing ? EBADF : 0;
		if (!c || c == &closing)
			return NULL;
		*ret_error = -conn_lock(c);
		if (*ret_error)
			return NULL;
		if (!is_elsewhere(fd, c))
			break;
		conn_unlock(c);
	} while (true);
	/* Closed meanwhile. */
	if (table_get(fd) != c || entered[fd] != c->life || (!c->refs && table_is_uncounted())) {
		conn_unlock(c);
		*ret_error = EBADF;
		return NULL;
	}
	conn_reset_orphan(c, fd);
	if (c->phase == CONN_EXPECT_TCP) {
		connector_look(c);
		conn_negotiated(c, fd);
	}
	if (c->phase != CONN_PLAIN)
		return c;
	inheritance_return(fd);
	conn_unlock(c);
	let_go(fd);
	return NULL;
}

void table_settle(void)
{
	int error;

	for (int fd = 0; fd < atomic_load(&table_end); fd++) {
		struct conn *c = table_get(fd);

		if (!c || c == &closing || !inherited[fd])
			continue;
		c = table_use(fd, &error);
		if (c)
			conn_unlock(c);
	}
}

void table_forget(int fd)
{
	struct conn *c = table_lock(fd);

	if (!c)
		return;
	/* Children that have it as well need not wait for that. */
	c->connecting = false;
	inheritance_return(fd);
	conn_unlock(c);
	let_go(fd);
}

void table_copied(int fd, int copy)
{
	struct conn *c;

	if (!table_holds(copy) || getpid() != owner)
		return;
	do {
		c = settled(fd);
		if (!c || c == &closing || conn_lock_still(c))
			return;
		if (!is_elsewhere(fd, c))
			break;
		conn_unlock(c);
	} while (true);
	conn_ref(c, lives_own());
	inheritance_take(copy);
	/* With the lock: it must not move in between. */
	table_set(copy, c);
	conn_unlock(c);
}

size_t table_count(const struct conn *c)
{
	const int end = atomic_load(&table_end);
	size_t n = 0;

	for (int fd = 0; fd < end; fd++)
		n += table_get(fd) == c;
	return n;
}

void table_moved(struct conn *from, struct conn *to)
{
	const int end = atomic_load(&table_end);

	for (int fd = 0; fd < end; fd++) {
		struct conn *c = from;

		if (table_get(fd) != from)
			continue;
		/* Should another thread close it just now, then it finds the place of before. */
		entered[fd] = to->life;
		if (!atomic_compare_exchange_strong(&table[fd], &c, to))
			continue;
		vessel_use(to);
		conn_ref(to, lives_own());
		conn_unref(from, lives_own());
	}
}

void table_adopt(int fd, struct conn *c, bool inherits)
{
	inherited[fd] = inherits;
	table_set(fd, c);
}

bool table_suspend(int fd, struct conn *c)
{
	return atomic_compare_exchange_strong(&table[fd], &c, &closing);
}

void table_resume(int fd, struct conn *c)
{
	atomic_store(&table[fd], c);
}

bool table_is_own(void)
{
	return getpid() == owner;
}

bool table_is_foreign(int fd)
{
	return table_get(fd) && !table_is_own();
}

/* A program that wants its connection reset gets that. */
static bool wants_reset(const struct conn *c, int fd)
{
	struct linger linger = {};
	socklen_t len = sizeof(linger);

	return (!c->orderly || atomic_load(&c->lingers)) &&
	       !next()->getsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, &len) && linger.l_onoff &&
	       !linger.l_linger;
}

static int finish(struct conn *c, int fd)
{
	int r = c->phase == CONN_EXPECT_KEYS ? rx_keys(c, fd) : 0;

	if (r && r != -EAGAIN)
		return r;
	/* The kernel resets a connection with unread bytes, and so it shall be: no FINp. A FINp
	 * itself is none of them. */
	if (c->phase == CONN_OPEN && rx_has_unread(c, fd)) {
		c->error = ECONNABORTED;
		return 0;
	}
	return tx_finish(c, fd, true);
}

/* What was written and waits for keys would have left before the reset, but for us. */
static int reset_late(struct conn *c)
{
	c->resets = c->phase == CONN_EXPECT_KEYS && c->tx.queued;
	return c->resets ? -EAGAIN : 0;
}

/* One reference less; the last one brings the end. */
static void leave(struct conn *c, int fd)
{
	bool lives = c->phase == CONN_EXPECT_KEYS || c->phase == CONN_OPEN;
	int r = 0;

	conn_unref(c, lives_own());
	/* Who is killed in here, as others still have it, does no harm. */
	c->moving = c->tx.held || !c->refs;
	/* It would be with the kernel, and on its way. */
	if (c->tx.held)
		tx_flush(c, fd, 0);
	if (!c->refs && lives && wants_reset(c, fd)) {
		c->error = ECONNABORTED;
		r = reset_late(c);
	} else if (!c->refs && lives) {
		r = finish(c, fd);
	}
	/* What the kernel did not take yet is still to be sent, and the program gone. */
	if (r == -EAGAIN)
		helper_adopt(c, fd);
	else if (!c->refs)
		conn_ended(c);
}

/* Who closes holds it to read, who forks to write: a child has all of a descriptor, or nothing. */
static pthread_rwlock_t closes = PTHREAD_RWLOCK_INITIALIZER;

void table_close_begin(struct table_close *ret)
{
	/* close() is where a thread may be cancelled. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &ret->cancel_state);
	/* Not in a signal handler that interrupts fork(). */
	ret->locked = !pthread_rwlock_rdlock(&closes);
}

void table_close_end(const struct table_close *close)
{
	const int saved = errno;

	if (close->locked)
		pthread_rwlock_unlock(&closes);
	pthread_setcancelstate(close->cancel_state, NULL);
	errno = saved;
}

void table_closing(int fd)
{
	struct conn *c = take(fd, &closing);

	if (!c || conn_lock_still(c))
		return;
	/* Who else had it was killed, perhaps. */
	if (c->refs > 1) {
		conn_unlock(c);
		conn_reap();
		if (conn_lock_still(c))
			return;
	}
	turns_end(fd, c->rx_shut);
	leave(c, fd);
	conn_unlock_release(c);
	vessel_unuse(c);
}

void table_awaits(int fd, int copy)
{
	struct conn *none = NULL;

	if (table_get(fd) && table_holds(copy) && getpid() == owner)
		atomic_compare_exchange_strong(&table[copy], &none, &closing);
}

void table_closed(int fd)
{
	struct conn *c = &closing;

	if (table_get(fd) == c)
		atomic_compare_exchange_strong(&table[fd], &c, NULL);
}

void table_replaced(int fd)
{
	if (!table_get(fd) || !table_is_uncounted())
		return;
	turns_end(fd, false);
	atomic_store(&table[fd], NULL);
}

void table_ending(void)
{
	if (getpid() != owner)
		return;
	conn_reap();
	for (int fd = 0; fd < atomic_load(&table_end); fd++) {
		struct conn *c = table_look(fd);

		if (!c)
			continue;
		/* Other threads may still come; the slot is given back by who reaps this process. */
		conn_hold(c);
		if (c->refs)
			leave(c, fd);
		if (c->refs)
			conn_unhold(c);
		conn_unlock(c);
	}
}

static void references_change(void (*change)(struct conn *))
{
	if (getpid() != owner)
		return;
	for (int fd = 0; fd < atomic_load(&table_end); fd++) {
		struct conn *c = table_look(fd);

		if (!c)
			continue;
		change(c);
		conn_unlock(c);
	}
}

/* A connection that nobody else has is closed by the kernel, and its peer is told nothing. Until
 * then it is not to be freed. */
static void reference_end(struct conn *c)
{
	conn_unref(c, lives_own());
	if (!c->refs)
		conn_hold(c);
}

static void reference_return(struct conn *c)
{
	if (!c->refs)
		conn_unhold(c);
	conn_ref(c, lives_own());
}

void table_replacing(void)
{
	references_change(reference_end);
}

void table_not_replaced(void)
{
	references_change(reference_return);
}

static _Thread_local struct table_references *taken;

void table_fork_begin(struct table_references *references)
{
	void *conns;

	taken = references;
	references->size = atomic_load(&table_end);
	if (!references->size)
		return;
	conns = mmap(NULL, references->size * sizeof(*references->conns), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (conns == MAP_FAILED)
		references->size = 0;
	else
		references->conns = conns;
}

void table_fork_end(struct table_references *references, pid_t pid)
{
	const bool failed = pid < 0;

	taken = NULL;
	if (pid > 0)
		lives_begins(references->child, pid);
	for (size_t i = 0; failed && i < references->n; i++) {
		struct conn *c = references->conns[i];

		if (conn_lock_still(c))
			continue;
		conn_unref(c, references->child);
		conn_unlock_release(c);
	}
	if (failed) {
		vessel_child_never();
		lives_never(references->child);
	}
	if (references->conns)
		munmap(references->conns, references->size * sizeof(*references->conns));
}

void table_forking(void)
{
	/* A server that forks is who has children that were killed. */
	conn_reap();
	pthread_rwlock_wrlock(&closes);
	table_sole_forking();
	boarding_before_fork();
	lives_forking();
	if (taken)
		taken->child = lives_child();
	vessel_child_begin();
	for (int fd = 0; fd < atomic_load(&table_end); fd++) {
		struct conn *c = table_look(fd);

		if (!c)
			continue;
		conn_ref(c, lives_child());
		if (taken && taken->n < taken->size)
			taken->conns[taken->n++] = c;
		conn_unlock(c);
	}
}

void table_fork_done(void)
{
	lives_fork_done();
	pthread_rwlock_unlock(&closes);
}

void table_forked(void)
{
	pthread_rwlock_init(&closes, NULL);
	lives_forked();
	owner = getpid();
	if (counted)
		*counted = true;
}
