// SPDX-License-Identifier: BSD-2-Clause
/* Descriptors that are no connections yet: listeners, and sockets that nobody shares. */
#include "inproc/table.h"

/* Of sockets that were made here: the generation of processes in which that was. */
static _Atomic uint32_t made[TABLE_SIZE];
static _Atomic uint32_t generation = 1;

static atomic_bool listens[TABLE_SIZE];
static bool rests[TABLE_SIZE];
static atomic_int listeners_end;

void table_listens(int fd)
{
	int end = atomic_load(&listeners_end);

	rests[fd] = false;
	listens[fd] = true;
	while (end <= fd && !atomic_compare_exchange_weak(&listeners_end, &end, fd + 1))
		;
}

void table_listener_ended(int fd)
{
	if (fd < atomic_load_explicit(&listeners_end, memory_order_relaxed) && table_holds(fd))
		listens[fd] = false;
}

bool table_is_listener(int fd)
{
	return table_holds(fd) && listens[fd];
}

bool *table_listener_rests(int fd)
{
	return &rests[fd];
}

int table_listeners_end(void)
{
	return atomic_load(&listeners_end);
}

void table_made(int fd)
{
	if (table_holds(fd))
		atomic_store_explicit(&made[fd], generation, memory_order_relaxed);
}

void table_shared(int fd)
{
	if (table_holds(fd))
		atomic_store_explicit(&made[fd], 0, memory_order_relaxed);
}

bool table_is_sole(int fd)
{
	return table_holds(fd) && made[fd] == generation && !table_is_uncounted();
}

void table_sole_forking(void)
{
	generation++;
}
