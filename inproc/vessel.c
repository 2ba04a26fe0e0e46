// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/vessel.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tcpcrypt/session.h>

#include "inproc/arena.h"
#include "inproc/conn.h"
#include "inproc/kept.h"
#include "inproc/members.h"
#include "inproc/moment.h"
#include "inproc/next.h"
#include "inproc/section.h"
#include "inproc/table.h"

#define PAGE_LEN   4096u
#define PLACES_MIN 64u
#define SLOT_AT	   1024u /* in the first page */
#define SIZE	   (PAGE_LEN + ARENA_SINGLE_BUFFERS * ARENA_BUFFER_ROOM)
#define SEALS	   (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

/* How long a thread may take from a look at the table to the connection. */
#define LINGER_MS 2000

struct head {
	char layout[64]; /* of what follows, the slot above all */
	struct arena_single_taken taken;
	struct member members[MEMBERS_MAX];
};

static_assert(sizeof(struct head) <= SLOT_AT && SLOT_AT + ARENA_SLOT_SIZE <= PAGE_LEN,
	      "a vessel's first page is too small");

enum place_state { PLACE_FREE, PLACE_USED, PLACE_LEFT };

/* Where this process has one, at the same index in the region. */
struct place {
	enum place_state state;
	int fd;
	bool own_file; /* fd's open file is this process's alone, so that it sees all locks but its own */
	unsigned int uses;
	int member;	     /* this process's number; -1: it has none */
	int child, child_fd; /* of the child that is about to be */
	uint64_t left_ms;
	dev_t dev;
	ino_t ino;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *_Atomic region; /* places_max times SIZE, or NULL */
static size_t places_max;
static struct place places[ARENA_SINGLES];
static atomic_size_t places_end; /* all others are free */

static void begin(void)
{
	section_enter();
	pthread_mutex_lock(&lock);
}

static void end(void)
{
	pthread_mutex_unlock(&lock);
	section_leave();
}

static uint8_t *base_of(size_t index)
{
	return region + index * SIZE;
}

static bool is_inside(const struct conn *c)
{
	const uint8_t *at = (const uint8_t *)c, *first = region;

	return first && at >= first && at < first + places_max * SIZE;
}

static size_t index_of(const struct conn *c)
{
	return ((const uint8_t *)c - region) / SIZE;
}

static struct head *head_of(size_t index)
{
	return (struct head *)(void *)base_of(index);
}

struct conn *vessel_conn(const struct arena *arena)
{
	return (struct conn *)(void *)(base_of(arena_single_index(arena)) + SLOT_AT);
}

struct arena *vessel_of(const struct conn *c)
{
	return is_inside(c) ? arena_single(index_of(c)) : NULL;
}

/* Two libraries that agree on this have the same members at the same places. */
static void layout_write(char layout[static 64])
{
	static const char version[] = TCPCRYPT_VERSION;

	memset(layout, 0, 64);
	memcpy(layout, version, sizeof(version) < 32 ? sizeof(version) : 32);
	layout[32] = sizeof(void *);
	layout[33] = sizeof(struct conn) & 255;
	layout[34] = sizeof(struct conn) >> 8;
	layout[35] = tcpcrypt_session_size() & 255;
	layout[36] = tcpcrypt_session_size() >> 8;
	layout[37] = sizeof(pthread_mutex_t);
	layout[38] = SIZE / PAGE_LEN & 255;
	layout[39] = SIZE / PAGE_LEN >> 8;
}

/* With the lock. A limited address space has room for fewer. */
static bool region_make(void)
{
	for (size_t n = ARENA_SINGLES; !region && n >= PLACES_MIN; n /= 4) {
		void *memory = mmap(NULL, n * SIZE, PROT_NONE,
				    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (memory == MAP_FAILED)
			continue;
		places_max = n;
		region = memory;
	}
	return region;
}

/* With the lock. Nothing is there any more. */
static void place_free(size_t index)
{
	mmap(base_of(index), SIZE, PROT_NONE,
	     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
	places[index] = (struct place){
		.state = PLACE_FREE, .fd = -1, .member = -1, .child = -1, .child_fd = -1
	};
}

/* With the lock. A free place, or -1; those that were left long ago become free. */
static int place_find(void)
{
	const uint64_t now = now_ms();
	int found = -1;

	for (size_t i = 0; i < places_end; i++) {
		if (places[i].state == PLACE_LEFT && now - places[i].left_ms >= LINGER_MS)
			place_free(i);
		if (places[i].state == PLACE_FREE && found < 0)
			found = i;
	}
	if (found < 0 && places_end < places_max)
		found = places_end++;
	return found;
}

/* An open file of its own, or -1: without /proc. */
static int reopen(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return kept_move_up(open(path, O_RDWR | O_CLOEXEC));
}

static struct member *members_of(size_t index)
{
	return head_of(index)->members;
}

struct arena_share *vessel_share(const struct arena *arena, bool own)
{
	const size_t index = arena_single_index(arena);
	const int member = own ? places[index].member : places[index].child;

	return member < 0 ? NULL : &head_of(index)->members[member].share;
}

/* The place's next member from n on that has ended, which is the caller's to set free; NULL: none. */
static struct member *dead_find(size_t index, int n)
{
	const struct place *p = &places[index];
	struct member *found = NULL;

	begin();
	for (; p->state == PLACE_USED && p->own_file && !found && n < MEMBERS_MAX; n++) {
		struct member *m = &members_of(index)[n];

		if (n != p->member && member_dead(m, n, p->fd))
			found = m;
	}
	end();
	return found;
}

void vessel_reap(void (*give_back)(void *slot, struct arena_share *share))
{
	for (size_t i = 0; i < places_end; i++) {
		struct member *m = NULL;

		while ((m = dead_find(i, m ? m - members_of(i) + 1 : 0))) {
			give_back(vessel_conn(arena_single(i)), &m->share);
			m->state = MEMBER_FREE;
		}
	}
}

/* The mapping, which children have as well, keeps its file open: the lock is another one's. Who has only
 * a file with others is no member: their locks would be his, and nobody sees his own. */
static void member_enter(size_t index)
{
	struct place *p = &places[index];
	const int fd = reopen(p->fd);

	if (fd < 0)
		return;
	kept_set(p->fd, false);
	next()->close(p->fd);
	p->fd = fd;
	p->own_file = true;
	kept_set(fd, true);
	p->member = member_begin(members_of(index), fd);
}

/* With the lock. Maps it: the place's index, or -1. fd is the place's if that succeeds. Keys and plain
 * text are in there: not for core files (8548-8-3). */
static int place_take(int fd, const struct stat *st)
{
	int index = region_make() ? place_find() : -1;
	uint8_t *base;

	if (index < 0)
		return -1;
	base = mmap(base_of(index), SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	if (base == MAP_FAILED) {
		place_free(index);
		return -1;
	}
	madvise(base, SIZE, MADV_DONTDUMP);
	arena_single_place(index, base + SLOT_AT, base + PAGE_LEN, &head_of(index)->taken);
	places[index] = (struct place){
		.state = PLACE_USED,
		.fd = fd,
		.member = -1,
		.child = -1,
		.child_fd = -1,
		.dev = st->st_dev,
		.ino = st->st_ino,
	};
	kept_set(fd, true);
	return index;
}

/* With the lock, like place_take(). */
static int place_make(int fd, const struct stat *st)
{
	const int index = place_take(fd, st);

	if (index < 0)
		return index;
	layout_write(head_of(index)->layout);
	member_enter(index);
	return index;
}

struct arena *vessel_make(void)
{
	int fd = kept_move_up(memfd_create("tcpcrypt", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	int index = -1;
	struct stat st;

	if (fd < 0)
		return NULL;
	if (!ftruncate(fd, SIZE) && !next()->fcntl(fd, F_ADD_SEALS, SEALS) && !fstat(fd, &st)) {
		begin();
		index = place_make(fd, &st);
		end();
	}
	if (index < 0) {
		next()->close(fd);
		return NULL;
	}
	return arena_single(index);
}

/* With the lock. */
static int place_known(const struct stat *st)
{
	for (size_t i = 0; i < places_end; i++)
		if (places[i].state == PLACE_USED && places[i].ino == st->st_ino &&
		    places[i].dev == st->st_dev)
			return i;
	return -1;
}

/* With the lock. */
static int place_open(int fd, const struct stat *st)
{
	char layout[64];
	int index = place_take(fd, st);

	layout_write(layout);
	if (index < 0)
		return -1;
	if (!memcmp(head_of(index)->layout, layout, sizeof(layout))) {
		member_enter(index);
		return index;
	}
	kept_set(fd, false);
	place_free(index);
	return -1;
}

struct arena *vessel_open(int fd)
{
	int index = -1, known = -1;
	struct stat st;

	fd = kept_move_up(fd);
	/* Who gave it must not be able to take it away again. */
	if (fd >= 0 && !fstat(fd, &st) && st.st_size == SIZE &&
	    next()->fcntl(fd, F_GET_SEALS) == SEALS) {
		begin();
		known = place_known(&st);
		index = known < 0 ? place_open(fd, &st) : known;
		if (index >= 0)
			places[index].uses++;
		end();
	}
	if ((index < 0 || known >= 0) && fd >= 0)
		next()->close(fd);
	return index < 0 ? NULL : arena_single(index);
}

int vessel_descriptor(const struct conn *c)
{
	int fd;

	if (!is_inside(c))
		return -1;
	fd = reopen(places[index_of(c)].fd);
	return fd < 0 ? next()->fcntl(places[index_of(c)].fd, F_DUPFD_CLOEXEC, 0) : fd;
}

void vessel_use(const struct conn *c)
{
	if (!is_inside(c))
		return;
	begin();
	places[index_of(c)].uses++;
	end();
}

/* With the lock. */
static void place_leave(size_t index)
{
	struct place *p = &places[index];
	const struct arena *arena = arena_single(index);

	keys_leave(&vessel_conn(arena)->keys, arena);
	member_end(members_of(index), p->member);
	kept_set(p->fd, false);
	next()->close(p->fd);
	p->fd = p->member = -1;
	p->state = PLACE_LEFT;
	p->left_ms = now_ms();
}

void vessel_unuse(const struct conn *c)
{
	const int saved = errno;
	struct place *p;

	if (!is_inside(c))
		return;
	begin();
	p = &places[index_of(c)];
	if (p->state == PLACE_USED && !--p->uses)
		place_leave(index_of(c));
	end();
	errno = saved;
}

void vessel_make_way(int fd)
{
	const int saved = errno;
	int moved;

	begin();
	for (size_t i = 0; i < places_end; i++) {
		if (places[i].state != PLACE_USED || places[i].fd != fd)
			continue;
		moved = next()->fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
		places[i].fd = moved;
		kept_set(fd, false);
		kept_set(moved, moved >= 0);
	}
	end();
	errno = saved;
}

void vessel_child_begin(void)
{
	begin();
	for (size_t i = 0; i < places_end; i++) {
		struct place *p = &places[i];

		p->child = -1;
		p->child_fd = p->state == PLACE_USED ? reopen(p->fd) : -1;
		if (p->child_fd >= 0)
			p->child = member_begin(members_of(i), p->child_fd);
	}
	end();
}

void vessel_child_never(void)
{
	begin();
	for (size_t i = 0; i < places_end; i++)
		if (places[i].state == PLACE_USED)
			member_end(members_of(i), places[i].child);
	end();
}

void vessel_forking(void)
{
	begin();
}

void vessel_fork_done(void)
{
	for (size_t i = 0; i < places_end; i++) {
		if (places[i].child_fd >= 0)
			next()->close(places[i].child_fd);
		places[i].child_fd = -1;
	}
	end();
}

void vessel_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	section_leave();
	for (size_t i = 0; i < places_end; i++) {
		struct place *p = &places[i];

		p->member = p->child;
		p->own_file = p->child_fd >= 0;
		if (p->child_fd < 0)
			continue;
		kept_set(p->fd, false);
		next()->close(p->fd);
		p->fd = p->child_fd;
		p->child_fd = -1;
		kept_set(p->fd, true);
	}
}
