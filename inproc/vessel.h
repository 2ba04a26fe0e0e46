/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory of a single connection, in a file without a name (memfd): other programs can have it
 * without having any other connection's keys, by its descriptor. Each process has it mapped where
 * it has room, as an arena of its own (arena.h). Mapped it stays for a while after its last use
 * here, since another thread may be about to look at it.
 *
 * Functions that may be called by any thread, with or without a connection's lock; they take no
 * connection's lock themselves.
 */
#ifndef INPROC_VESSEL_H
#define INPROC_VESSEL_H

#include <stdbool.h>

struct arena;
struct arena_share;
struct conn;

/* A new one, with no use yet, or NULL. */
struct arena *vessel_make(void);

/*
 * The one whose descriptor another program has given, with one use, since other threads may be
 * giving up theirs. Takes fd. NULL: it is none, or of a library that was built otherwise. The
 * connection in it: vessel_conn(), not locked, perhaps ended.
 */
struct arena *vessel_open(int fd);
struct conn *vessel_conn(const struct arena *arena);

/* The arena of a connection that is in one, NULL: it is in none. */
struct arena *vessel_of(const struct conn *c);

/* A descriptor of it for somebody else, the caller's; or -1. */
int vessel_descriptor(const struct conn *c);

/* For connections that are in one, nothing for others: the uses of this process are counted. After the
 * last one c is not to be touched any more. */
void vessel_use(const struct conn *c);
void vessel_unuse(const struct conn *c);

/* See helper_make_way(). */
void vessel_make_way(int fd);

/*
 * What a process has of the connection: this one, or not own: its child that is about to be. NULL:
 * nobody counts it. What processes that have ended have left: see arena_reap().
 */
struct arena_share *vessel_share(const struct arena *arena, bool own);
void vessel_reap(void (*give_back)(void *slot, struct arena_share *share));

/* Around fork(). Before any reference is the child's: child_begin; never: there is none. */
void vessel_child_begin(void);
void vessel_child_never(void);
void vessel_forking(void);
void vessel_fork_done(void);
void vessel_forked(void);

#endif
