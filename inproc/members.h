/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processes that have a connection in a vessel. As long as one lives it has a lock on the byte of
 * the vessel's file with its number, by an open file of its own, which the kernel closes with the
 * process, or its program. So others see when it was killed, and what it had comes back.
 */
#ifndef INPROC_MEMBERS_H
#define INPROC_MEMBERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "inproc/arena.h"

#define MEMBERS_MAX 64 /* those beyond are not missed when they are killed */

enum member_state {
	MEMBER_FREE,
	MEMBER_TAKEN, /* the lock follows */
	MEMBER_LIVES,
	MEMBER_REAPED,
};

struct member {
	_Atomic uint8_t state; /* enum member_state */
	struct arena_share share;
};

/* A number for who has this open file, or -1. */
int member_begin(struct member members[static MEMBERS_MAX], int fd);

/* Takes -1 as well. */
void member_end(struct member members[static MEMBERS_MAX], int number);

/* Has m, with that number, which is not the caller's, ended? Then its share is the caller's to give back,
 * and to set it free. fd: of the caller's open file. */
bool member_dead(struct member *m, int number, int fd);

#endif
