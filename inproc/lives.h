/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that share memory because one forked the other: which of them live. Who is killed
 * gives nothing back; others do it in his place (arena_reap()).
 */
#ifndef INPROC_LIVES_H
#define INPROC_LIVES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define LIVES_MAX 512u /* at a time; those beyond have no name */

/* Another number for each process; 0: none. Its low bits are the place, below LIVES_MAX. */
typedef uint64_t life;

static inline unsigned int life_place(life name)
{
	return name % LIVES_MAX;
}

/* The calling process's. A child that _Fork() or clone() made has none. */
life lives_own(void);

/* That of the child that is about to be, between lives_forking() and what follows it. */
life lives_child(void);

/* Has that process ended, by whatever, or become another program? */
bool lives_ended(life name);

/* Around fork(), for one thread at a time: in the parent, whatever came of it; and in the child. */
void lives_forking(void);
void lives_fork_done(void);
void lives_forked(void);

/* The child is there, its parent knows. */
void lives_begins(life name, pid_t pid);

/* There is no such child after all. */
void lives_never(life name);

#endif
