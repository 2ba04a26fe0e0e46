// SPDX-License-Identifier: BSD-2-Clause
/*
 * The memory of inproc/arena.h for processes that share nothing: slots in slabs that are never
 * given back, and buffers, of which some are kept for the next one.
 */
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "inproc/arena.h"
#include "inproc/conn.h"
#include "lib/process.h"

#define SLAB_SLOTS   42u /* 63 KiB */
#define BUFFERS_KEPT 16u

union slot {
	union slot *next;
	uint8_t bytes[ARENA_SLOT_SIZE];
};

struct arena {
	pthread_mutex_t lock;
	union slot *free;
	uint8_t *buffers[BUFFERS_KEPT];
	unsigned int n_buffers;
	_Atomic uint64_t serial;
	uint64_t name;		/* of a process alone, */
	unsigned int named_for; /* namely of this one */
};

static struct arena own = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct arena *arena_own(void)
{
	return &own;
}

/* Keys and plain text are in there: not for core files (8548-8-3). */
static void *map(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	madvise(memory, size, MADV_DONTDUMP);
	return memory;
}

static void slab_add(struct arena *arena)
{
	union slot *slots = map(SLAB_SLOTS * sizeof(*slots));

	for (unsigned int i = 0; slots && i < SLAB_SLOTS; i++) {
		slots[i].next = arena->free;
		arena->free = &slots[i];
	}
}

void *arena_slot_get(struct arena *arena)
{
	union slot *slot;

	pthread_mutex_lock(&arena->lock);
	if (!arena->free)
		slab_add(arena);
	slot = arena->free;
	if (slot)
		arena->free = slot->next;
	pthread_mutex_unlock(&arena->lock);
	/* Its lock is made anew. */
	if (slot)
		memset(slot, 0, sizeof(*slot));
	return slot;
}

void arena_slot_put(struct arena *arena, void *slot)
{
	union slot *s = slot;

	pthread_mutex_lock(&arena->lock);
	s->next = arena->free;
	arena->free = s;
	pthread_mutex_unlock(&arena->lock);
}

uint8_t *arena_buffer_get(struct arena *arena)
{
	uint8_t *buffer = NULL;

	pthread_mutex_lock(&arena->lock);
	if (arena->n_buffers)
		buffer = arena->buffers[--arena->n_buffers];
	pthread_mutex_unlock(&arena->lock);
	if (buffer)
		return buffer;
	buffer = map(ARENA_BUFFER_ROOM);
	return buffer ? buffer + ARENA_BUFFER_AT : NULL;
}

void arena_buffer_put(struct arena *arena, uint8_t *buffer)
{
	if (!buffer)
		return;
	pthread_mutex_lock(&arena->lock);
	if (arena->n_buffers < BUFFERS_KEPT) {
		arena->buffers[arena->n_buffers++] = buffer;
		buffer = NULL;
	}
	pthread_mutex_unlock(&arena->lock);
	if (buffer)
		munmap(buffer - ARENA_BUFFER_AT, ARENA_BUFFER_ROOM);
}

/* Nobody else has what is in here. */
life lives_own(void)
{
	return 0;
}

struct arena_share *arena_share(struct arena *arena, const void *slot, life name)
{
	(void)arena;
	(void)slot;
	(void)name;
	return NULL;
}

void arena_reap(void (*give_back)(void *slot, struct arena_share *share))
{
	(void)give_back;
}

uint64_t arena_name(const struct arena *arena)
{
	const unsigned int process = process_number();
	uint64_t name;

	pthread_mutex_lock(&own.lock);
	if (own.named_for != process && getrandom(&own.name, sizeof(own.name), 0) < 0)
		own.name = 0;
	own.named_for = process;
	name = own.name;
	pthread_mutex_unlock(&own.lock);
	return name;
}

uint64_t arena_serial(struct arena *arena)
{
	return ++arena->serial;
}

/* No other program ever has these connections. */
void conn_rebind(struct conn *c)
{
}

void conn_abandon(struct conn *c)
{
}
