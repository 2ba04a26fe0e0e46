// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/kept.h"

#include <fcntl.h>
#include <stdatomic.h>

#include "inproc/next.h"
#include "inproc/table.h"

static atomic_bool kept[TABLE_SIZE];
static atomic_int kept_end; /* all of them are below */

void kept_set(int fd, bool is)
{
	int end = atomic_load(&kept_end);

	if (!table_holds(fd))
		return;
	while (is && end <= fd && !atomic_compare_exchange_weak(&kept_end, &end, fd + 1))
		;
	atomic_store(&kept[fd], is);
}

bool kept_is(int fd)
{
	return fd >= 0 && fd < atomic_load_explicit(&kept_end, memory_order_relaxed) && kept[fd];
}

int kept_first(unsigned int first, unsigned int last)
{
	const unsigned int end = atomic_load(&kept_end);

	for (unsigned int fd = first; fd <= last && fd < end; fd++)
		if (kept[fd])
			return fd;
	return -1;
}

int kept_move_up(int fd)
{
	int moved = fd < 0 ? -1 : next()->fcntl(fd, F_DUPFD_CLOEXEC, KEPT_FROM);

	if (moved < 0)
		return fd;
	next()->close(fd);
	return moved;
}
