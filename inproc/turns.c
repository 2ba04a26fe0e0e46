// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/turns.h"

#include <stdatomic.h>

#include "inproc/table.h"

/* The lowest bit tells of the turn before. */
#define SHUT 1
#define TURN 2

static _Atomic uint32_t turns[TABLE_SIZE];

uint32_t turns_now(int fd)
{
	return atomic_load(&turns[fd]);
}

void turns_end(int fd, bool shut)
{
	atomic_store(&turns[fd], (turns_now(fd) & ~(uint32_t)SHUT) + TURN + (shut ? SHUT : 0));
}

bool turns_was_shut(int fd, uint32_t turn)
{
	return turns_now(fd) == (turn & ~(uint32_t)SHUT) + TURN + SHUT;
}
