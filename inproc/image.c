// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/channel.h"
#include "inproc/handover.h"
#include "inproc/helper.h"
#include "inproc/kept.h"
#include "inproc/boarding.h"
#include "inproc/next.h"
#include "inproc/report.h"
#include "inproc/vessel.h"

#define DIGITS_MAX 12 /* of a descriptor, and what parts it from the next */

struct image_entry {
	struct conn *c;
	int fd;
	int saved; /* the socket, meanwhile */
};

static void *memory_get(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static void memory_put(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

/* The socket goes out of the way, and what stands for it comes. 0 or a negative errno value. */
static int replace(struct image_entry *entry, int pack)
{
	entry->saved = kept_move_up(next()->fcntl(entry->fd, F_DUPFD_CLOEXEC, 0));
	if (entry->saved < 0)
		return -errno;
	if (!table_suspend(entry->fd, entry->c)) {
		next()->close(entry->saved);
		return -EBADF;
	}
	next()->dup2(pack, entry->fd);
	helper_leave(entry->c);
	conn_hand_over(entry->c);
	return 0;
}

/* With the lock of c, which may be another one's afterwards: *c. 0 or a negative errno value. */
static int leave(struct image *image, int fd, struct conn **c)
{
	struct image_entry *entry = &image->entries[image->n];
	struct conn *moved = boarding_ensure(*c, fd);
	int pack, r;

	if (!moved)
		return -EOPNOTSUPP;
	*c = moved;
	pack = handover_pack(fd, moved);
	if (pack < 0)
		return pack;
	*entry = (struct image_entry){ .c = moved, .fd = fd };
	r = replace(entry, pack);
	next()->close(pack);
	if (!r)
		image->n++;
	return r;
}

/* The descriptors, and that of the channel to the daemon: what it knows of this process goes on. */
static bool variable_make(struct image *image)
{
	int channel;
	char *at;

	image->variable_size = sizeof(IMAGE_VARIABLE) + (image->n + 1) * (DIGITS_MAX + 1);
	image->variable = memory_get(image->variable_size);
	if (!image->variable)
		return false;
	at = stpcpy(image->variable, IMAGE_VARIABLE);
	for (size_t i = 0; i < image->n; i++)
		at += snprintf(at, DIGITS_MAX + 1, "%d,", image->entries[i].fd);
	report_finish();
	channel = channel_leave(true);
	if (channel >= 0)
		snprintf(at, DIGITS_MAX + 1, ";%d", channel);
	return true;
}

/* The C library puts files in the place of others by calls that nobody sees: freopen(). */
static bool is_replaced(int fd)
{
	int is;
	socklen_t len = sizeof(is);

	return table_get(fd) && next()->getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &len) &&
	       errno == ENOTSOCK;
}

int image_leave(struct image *image, bool servable)
{
	const int end = atomic_load(&table_end);
	int r = 0;

	*image = (struct image){ .size = end * sizeof(*image->entries) };
	if (!end)
		return 0;
	image->entries = memory_get(image->size);
	if (!image->entries)
		return -ENOMEM;
	for (int fd = 0; !r && fd < end; fd++) {
		struct conn *c;
		int left;

		if (is_replaced(fd))
			table_gone(fd);
		c = table_get(fd) && table_inherited(fd) ? boarding_find(fd) : NULL;
		if (!c)
			continue;
		left = servable ? leave(image, fd, &c) : -EOPNOTSUPP;
		conn_unlock(c);
		if (left && fd <= STDERR_FILENO)
			r = -EOPNOTSUPP;
	}
	if (!r && image->n && !variable_make(image))
		r = -ENOMEM;
	if (r || !image->n)
		image_return(image);
	return r;
}

void image_return(struct image *image)
{
	const int saved = errno;

	for (size_t i = 0; i < image->n; i++) {
		struct image_entry *entry = &image->entries[i];

		next()->dup3(entry->saved, entry->fd, O_CLOEXEC);
		next()->close(entry->saved);
		table_resume(entry->fd, entry->c);
		if (conn_lock_still(entry->c))
			continue;
		conn_handed(entry->c);
		if (boarding_is_busy(entry->c))
			helper_watch(entry->c, entry->fd);
		conn_unlock(entry->c);
	}
	channel_leave(false);
	memory_put(image->entries, image->size);
	memory_put(image->variable, image->variable_size);
	*image = (struct image){};
	errno = saved;
}

/* The helper finishes what the last program had begun. */
static void take(int fd)
{
	struct conn *c = handover_open(fd);

	if (!c)
		return;
	table_adopt(fd, c, true);
	vessel_unuse(c);
	if (conn_lock_still(c))
		return;
	conn_handed(c);
	if (boarding_is_busy(c))
		helper_watch(c, fd);
	conn_unlock(c);
	/* The daemon hears of them with their first use. */
	atomic_store(&conn_unknown, true);
}

__attribute__((constructor(106))) static void take_all(void)
{
	char name[] = IMAGE_VARIABLE;
	const char *at, *list;

	name[sizeof(name) - 2] = '\0';
	list = getenv(name);
	if (!list)
		return;
	at = list;
	while (*at >= '0' && *at <= '9') {
		char *end;
		long fd = strtol(at, &end, 10);

		if (fd < TABLE_SIZE && keys_crypto())
			take(fd);
		at = *end == ',' ? end + 1 : end;
	}
	if (*at == ';')
		channel_take(atoi(at + 1));
	unsetenv(name);
	calls_streams();
}
