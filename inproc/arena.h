/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a process shares with those it forks: a connection's state must be one and the
 * same for everybody who has the socket. An arena is mapped once, before the fork, so its
 * addresses mean the same everywhere; pages that nobody touched cost nothing. It has slots of a
 * fixed size for connections, and buffers, which are lent while bytes are under way.
 */
#ifndef INPROC_ARENA_H
#define INPROC_ARENA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inproc/lives.h"

/*
 * Room for the largest frame and as much again, so that bulk is read in large pieces.
 *
 * Programs' buffers begin where pages do, or 16 bytes behind (malloc()), and AMD's processors copy several
 * times as slowly to a place in a page that is 1 to 15 bytes behind the source's (glibc's bug 30994), as
 * data behind a frame's header would be. So ours begin in the middle of one.
 */
#define ARENA_BUFFER_SIZE (2u << 16)
#define ARENA_BUFFER_AT	  2048u
#define ARENA_BUFFER_ROOM (ARENA_BUFFER_SIZE + 4096u) /* that it takes: whole pages */

struct arena;

/* The calling process's own arena, made at the first call; NULL: no memory. */
struct arena *arena_own(void);

/* In the child of a fork: what it begins from now on is not its parent's. */
void arena_forked(void);

/* A slot of an arena, as its last user left it (at first: zeroed), or NULL when all are taken. */
void *arena_slot_get(struct arena *arena);
void arena_slot_put(struct arena *arena, void *slot);

/* The number of a slot, below ARENA_SLOTS. */
#define ARENA_SLOTS	(1u << 15)
#define ARENA_SLOT_SIZE 1536u
size_t arena_slot_index(const struct arena *arena, const void *slot);

/* A buffer of ARENA_BUFFER_SIZE bytes, or NULL. put accepts NULL. */
uint8_t *arena_buffer_get(struct arena *arena);
void arena_buffer_put(struct arena *arena, uint8_t *buffer);

/* Puts *buffer, which is NULL before: who is killed in between must not leave two users of one. */
static inline void arena_buffer_drop(struct arena *arena, uint8_t **buffer)
{
	uint8_t *dropped = *buffer;

	*buffer = NULL;
	atomic_thread_fence(memory_order_release);
	arena_buffer_put(arena, dropped);
}

/* The memory of buffers that nobody has, or has had since the last call, goes back to the system. False:
 * another call will have nothing to do unless buffers are used. */
bool arena_trim(void);

/*
 * What one process has of a slot: descriptors and others that keep it (conn.h). A process that is
 * killed does not give them back. Counts are rather too small than too large.
 */
struct arena_share {
	uint8_t refs;
	uint8_t holds : 7;
	uint8_t watched : 1; /* by this process's helper */
};

/* The share of a process that is this one, or its child that is about to be. NULL: nobody counts. */
struct arena_share *arena_share(struct arena *arena, const void *slot, life name);

/* In every arena that this process has: calls give_back with each share that an ended process
 * has left. The caller has no slot locked. */
void arena_reap(void (*give_back)(void *slot, struct arena_share *share));

/* Another number, taken at random, for each arena. */
uint64_t arena_name(const struct arena *arena);

/* A number that this arena's processes have not been given before. */
uint64_t arena_serial(struct arena *arena);

/*
 * The memory of a single connection as an arena: one slot and buffers for it, wherever this process
 * has them (vessel.h). Its name is 0.
 */
#define ARENA_SINGLES	     2048u
#define ARENA_SINGLE_BUFFERS 4u /* both directions', the queue, and one to look ahead */
struct arena_single_taken {
	atomic_bool slot;
	atomic_bool buffers[ARENA_SINGLE_BUFFERS];
};
/* When nobody uses what was at this index before: others read it without a lock from then on. */
void arena_single_place(size_t index, uint8_t *slot, uint8_t *buffers,
			struct arena_single_taken *taken);
struct arena *arena_single(size_t index);
bool arena_is_single(const struct arena *arena);
size_t arena_single_index(const struct arena *arena);

#endif
