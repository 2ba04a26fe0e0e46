// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/arena.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "inproc/robust.h"
#include "inproc/section.h"
#include "inproc/vessel.h"

#define BUFFERS_MAX 8192u
#define BUFFERS_MIN 64u

/* Which of a number of equal pieces are taken. */
struct pieces {
	uint8_t *base;
	size_t size;
	uint32_t n;
	_Atomic uint32_t hint; /* where the last search ended */
	atomic_bool *taken;
	/* None from here on has been taken since the last trim, and none from there on has memory. */
	_Atomic uint32_t recent, touched;
};

struct arena {
	struct pieces slots;
	struct pieces buffers;
	_Atomic uint64_t serial;
	uint64_t name;
};

/* A process's own, at the beginning of its memory. */
struct large {
	struct arena arena;
	struct large *before; /* those that its first process was forked with */
	atomic_bool slots_taken[ARENA_SLOTS];
	atomic_bool buffers_taken[BUFFERS_MAX];
	/* Of whom the shares are; 0: of nobody. */
	pthread_mutex_t reaping;
	_Atomic life owners[LIVES_MAX];
	struct arena_share shares[LIVES_MAX][ARENA_SLOTS];
};

/* Those of single connections: how this process has them mapped. */
static struct arena singles[ARENA_SINGLES];

static pthread_mutex_t own_lock = PTHREAD_MUTEX_INITIALIZER;
static struct arena *_Atomic own;
static struct large *_Atomic newest;

static size_t page_round(size_t size)
{
	return (size + 4095) & ~(size_t)4095;
}

/* Keys and plain text are in there: not for core files (8548-8-3). */
static struct arena *arena_map(uint32_t buffers)
{
	size_t head = page_round(sizeof(struct large));
	size_t slots = page_round((size_t)ARENA_SLOTS * ARENA_SLOT_SIZE);
	size_t size = head + slots + (size_t)buffers * ARENA_BUFFER_ROOM;
	uint8_t *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct large *large = (void *)base;
	struct arena *a = &large->arena;

	if (base == MAP_FAILED)
		return NULL;
	madvise(base, size, MADV_DONTDUMP);
	if (getrandom(&a->name, sizeof(a->name), 0) != sizeof(a->name))
		a->name = 0;
	a->slots = (struct pieces){ .base = base + head,
				    .size = ARENA_SLOT_SIZE,
				    .n = ARENA_SLOTS,
				    .taken = large->slots_taken };
	a->buffers = (struct pieces){ .base = base + head + slots,
				      .size = ARENA_BUFFER_ROOM,
				      .n = buffers,
				      .taken = large->buffers_taken };
	robust_lock_make(&large->reaping);
	large->before = newest;
	newest = large;
	return a;
}

struct arena *arena_own(void)
{
	struct arena *a = own;

	if (a)
		return a;
	section_enter();
	pthread_mutex_lock(&own_lock);
	/* A limited address space has room for fewer. */
	for (uint32_t n = BUFFERS_MAX; !own && n >= BUFFERS_MIN; n /= 4)
		own = arena_map(n);
	a = own;
	pthread_mutex_unlock(&own_lock);
	section_leave();
	return a;
}

void arena_forked(void)
{
	pthread_mutex_init(&own_lock, NULL);
	own = NULL;
}

static void mark_raise(_Atomic uint32_t *mark, uint32_t to)
{
	uint32_t before = atomic_load_explicit(mark, memory_order_relaxed);

	while (before < to && !atomic_compare_exchange_weak(mark, &before, to))
		;
}

static void *piece_get(struct pieces *p)
{
	uint32_t at = atomic_load_explicit(&p->hint, memory_order_relaxed);

	for (uint32_t i = 0; i < p->n; i++, at++) {
		if (at >= p->n)
			at = 0;
		if (atomic_load_explicit(&p->taken[at], memory_order_relaxed) ||
		    atomic_exchange_explicit(&p->taken[at], true, memory_order_acquire))
			continue;
		atomic_store_explicit(&p->hint, at, memory_order_relaxed);
		mark_raise(&p->recent, at + 1);
		mark_raise(&p->touched, at + 1);
		return p->base + at * p->size;
	}
	return NULL;
}

/* What was used last is used next: its pages are there. */
static void piece_put(struct pieces *p, const void *piece)
{
	uint32_t at = ((const uint8_t *)piece - p->base) / p->size;

	atomic_store_explicit(&p->taken[at], false, memory_order_release);
	if (at < atomic_load_explicit(&p->hint, memory_order_relaxed))
		atomic_store_explicit(&p->hint, at, memory_order_relaxed);
}

void *arena_slot_get(struct arena *arena)
{
	return piece_get(&arena->slots);
}

bool arena_is_single(const struct arena *arena)
{
	return arena >= singles && arena < singles + ARENA_SINGLES;
}

void arena_slot_put(struct arena *arena, void *slot)
{
	/* Nobody will use its buffers again. */
	if (arena_is_single(arena))
		madvise(arena->buffers.base, arena->buffers.n * arena->buffers.size, MADV_REMOVE);
	piece_put(&arena->slots, slot);
}

size_t arena_slot_index(const struct arena *arena, const void *slot)
{
	return ((const uint8_t *)slot - arena->slots.base) / arena->slots.size;
}

uint8_t *arena_buffer_get(struct arena *arena)
{
	uint8_t *room = piece_get(&arena->buffers);

	return room ? room + ARENA_BUFFER_AT : NULL;
}

void arena_buffer_put(struct arena *arena, uint8_t *buffer)
{
	if (buffer)
		piece_put(&arena->buffers, buffer - ARENA_BUFFER_AT);
}

/* Gives back the memory of those that nobody has, or has had since the last time. False: there is
 * none that may go the next time. */
static bool pieces_trim(struct pieces *p)
{
	const uint32_t recent = atomic_exchange(&p->recent, 0);
	uint32_t touched = atomic_load(&p->touched), left = recent;
	const uint32_t end = touched;

	for (uint32_t i = recent; i < end; i++) {
		if (atomic_exchange_explicit(&p->taken[i], true, memory_order_acquire)) {
			left = i + 1;
			continue;
		}
		madvise(p->base + i * p->size, p->size, MADV_REMOVE);
		atomic_store_explicit(&p->taken[i], false, memory_order_release);
	}
	/* Unless more have been taken meanwhile. */
	atomic_compare_exchange_strong(&p->touched, &touched, left);
	return left;
}

bool arena_trim(void)
{
	bool more = false;

	for (struct large *a = newest; a; a = a->before)
		more = pieces_trim(&a->arena.buffers) || more;
	return more;
}

struct arena_share *arena_share(struct arena *arena, const void *slot, life name)
{
	struct large *large = (struct large *)(void *)arena;
	const unsigned int at = life_place(name);
	life owner;

	if (!name)
		return NULL;
	if (arena_is_single(arena))
		return vessel_share(arena, name == lives_own());
	owner = large->owners[at];
	/* What another one has left there is not given back yet. */
	if (owner != name &&
	    (owner || !atomic_compare_exchange_strong(&large->owners[at], &owner, name)))
		return NULL;
	return &large->shares[at][arena_slot_index(arena, slot)];
}

static void shares_give_back(struct large *large, unsigned int at,
			     void (*give_back)(void *slot, struct arena_share *share))
{
	struct arena_share *shares = large->shares[at];
	const struct pieces *slots = &large->arena.slots;

	for (size_t i = 0; i < slots->n; i++)
		if (shares[i].refs || shares[i].holds)
			give_back(slots->base + i * slots->size, &shares[i]);
}

/* Who is killed in the middle of it leaves the rest to the next one. */
static bool reaping_begin(struct large *large)
{
	int r = pthread_mutex_trylock(&large->reaping);

	return !r || (r == EOWNERDEAD && !pthread_mutex_consistent(&large->reaping));
}

void arena_reap(void (*give_back)(void *slot, struct arena_share *share))
{
	section_enter();
	vessel_reap(give_back);
	for (struct large *a = newest; a; a = a->before) {
		if (!reaping_begin(a))
			continue;
		for (unsigned int i = 0; i < LIVES_MAX; i++) {
			if (!a->owners[i] || !lives_ended(a->owners[i]))
				continue;
			shares_give_back(a, i, give_back);
			a->owners[i] = 0;
		}
		pthread_mutex_unlock(&a->reaping);
	}
	section_leave();
}

uint64_t arena_name(const struct arena *arena)
{
	return arena->name;
}

size_t arena_single_index(const struct arena *arena)
{
	return arena - singles;
}

struct arena *arena_single(size_t index)
{
	return &singles[index];
}

void arena_single_place(size_t index, uint8_t *slot, uint8_t *buffers,
			struct arena_single_taken *taken)
{
	singles[index] = (struct arena){
		.slots = { .base = slot, .size = ARENA_SLOT_SIZE, .n = 1, .taken = &taken->slot },
		.buffers = { .base = buffers,
			     .size = ARENA_BUFFER_ROOM,
			     .n = ARENA_SINGLE_BUFFERS,
			     .taken = taken->buffers },
	};
}

/* Programs that share a connection count nothing together. */
static uint64_t number_take(void)
{
	uint64_t number = 0;

	while (!number)
		if (getrandom(&number, sizeof(number), 0) != sizeof(number))
			number = 0;
	return number;
}

uint64_t arena_serial(struct arena *arena)
{
	if (arena_is_single(arena))
		return number_take();
	return atomic_fetch_add(&arena->serial, 1) + 1;
}
