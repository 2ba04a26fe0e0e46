// SPDX-License-Identifier: BSD-2-Clause
/*
 * A process holds a robust lock as long as it lives: with its end, or that of its program, the
 * kernel marks the lock. Process IDs tell less: they mean something else in other namespaces,
 * stay while nobody waits for the process, and come again.
 */
#include "inproc/lives.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inproc/robust.h"

struct place {
	_Atomic life name; /* 0: free */
	pthread_mutex_t held;
	/* Who is killed before it holds the lock: that only its parent can tell. */
	atomic_bool born;
	_Atomic life parent;
	_Atomic pid_t pid; /* as the parent knows it; 0: not at all */
};

struct lives {
	atomic_uint last; /* where the last search ended */
	_Atomic uint64_t serial;
	struct place places[LIVES_MAX];
};

static struct lives *lives; /* NULL: no memory */
static life child;
static pthread_key_t holder; /* in the thread that holds the lock */
static atomic_bool unheld;   /* that thread has ended */

/* In a page that the kernel wipes in children; NULL: no memory. */
static life *own;

static struct place *place_of(life name)
{
	return &lives->places[life_place(name)];
}

/* The kernel marks what threads hold, and a process may outlive its first one. */
static void holder_ends(void *place)
{
	pthread_mutex_unlock(&((struct place *)place)->held);
	atomic_store(&unheld, true);
}

static void hold(struct place *p)
{
	int r = robust_lock(&p->held); /* others have it for a moment only */

	if (r == EOWNERDEAD)
		r = pthread_mutex_consistent(&p->held);
	if (!r)
		pthread_setspecific(holder, p);
	p->born = true;
}

/* Is the place nobody's, or its last owner's who has ended? With the lock it is the caller's. */
static bool take(struct place *p, bool *ret_ended)
{
	int r = pthread_mutex_trylock(&p->held);

	*ret_ended = r == EOWNERDEAD;
	if (*ret_ended)
		r = pthread_mutex_consistent(&p->held);
	return !r;
}

/* With the lock, which nobody held. */
static bool was_never_born(const struct place *p)
{
	const int saved = errno;
	siginfo_t info = {};
	bool ended;

	if (p->born || !p->pid || !own || p->parent != *own)
		return false;
	/* It may have been waited for. */
	if (waitid(P_PID, p->pid, &info, WEXITED | WNOHANG | WNOWAIT))
		ended = errno == ECHILD;
	else
		ended = info.si_pid == p->pid;
	errno = saved;
	return ended;
}

/* A place for a process that is still to hold its lock. */
static life name_make(void)
{
	const unsigned int from = lives ? atomic_load(&lives->last) : 0;
	bool ended;

	for (unsigned int i = 1; lives && i <= LIVES_MAX; i++) {
		const unsigned int at = (from + i) % LIVES_MAX;
		struct place *p = &lives->places[at];
		life name = 0;

		if (!take(p, &ended))
			continue;
		if (ended || !p->name || was_never_born(p)) {
			p->born = false;
			p->pid = 0;
			p->parent = *own;
			name = (atomic_fetch_add(&lives->serial, 1) + 1) * LIVES_MAX + at;
			p->name = name;
		}
		pthread_mutex_unlock(&p->held);
		if (!name)
			continue;
		atomic_store(&lives->last, at);
		return name;
	}
	return 0;
}

__attribute__((constructor(102))) static void prepare(void)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	void *mine = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	void *all = mmap(NULL, sizeof(*lives), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			 -1, 0);

	if (mine == MAP_FAILED || all == MAP_FAILED || madvise(mine, page, MADV_WIPEONFORK) ||
	    pthread_key_create(&holder, holder_ends))
		return;
	lives = all;
	for (unsigned int i = 0; i < LIVES_MAX; i++)
		robust_lock_make(&lives->places[i].held);
	own = mine;
	*own = name_make();
	hold(place_of(*own));
}

life lives_own(void)
{
	const life name = own ? *own : 0;

	if (name && atomic_load_explicit(&unheld, memory_order_relaxed) &&
	    atomic_exchange(&unheld, false))
		hold(place_of(name));
	return name;
}

life lives_child(void)
{
	return child;
}

bool lives_ended(life name)
{
	struct place *p = place_of(name);
	bool ended;

	if (p->name != name)
		return true;
	if (!take(p, &ended))
		return false;
	/* Or nobody holds it: a child that has hardly begun. */
	if (p->name == name && (ended || was_never_born(p)))
		p->name = 0;
	ended = p->name != name;
	pthread_mutex_unlock(&p->held);
	return ended;
}

void lives_forking(void)
{
	child = name_make();
}

void lives_fork_done(void)
{
	child = 0;
}

void lives_forked(void)
{
	const life name = child;

	child = 0;
	atomic_store(&unheld, false);
	if (!name)
		return;
	*own = name;
	hold(place_of(name));
}

void lives_begins(life name, pid_t pid)
{
	if (name)
		place_of(name)->pid = pid;
}

void lives_never(life name)
{
	if (name)
		place_of(name)->name = 0;
}
