/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which of the process's descriptors are connections of ours: one array, read without a lock, so
 * that all others cost one look.
 */
#ifndef INPROC_TABLE_H
#define INPROC_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>

#include "inproc/conn.h"

#define TABLE_SIZE (1 << 20) /* descriptors beyond are left alone */

extern struct conn *_Atomic table[TABLE_SIZE];
extern atomic_int table_end; /* all entries are below */

static inline struct conn *table_get(int fd)
{
	if (fd < 0 || fd >= TABLE_SIZE)
		return NULL;
	return atomic_load_explicit(&table[fd], memory_order_acquire);
}

/* Has fd a place in the table? */
static inline bool table_holds(int fd)
{
	return fd >= 0 && fd < TABLE_SIZE;
}

/*
 * Enters c for fd; the reference goes along. No such descriptor lives through execve(): the new
 * program would not have the keys, and what it wrote would be plain text. Once the connection
 * turns out plain it does, if the program wants that.
 */
void table_enter(int fd, struct conn *c);

/* Of an entry: shall fd live through execve(), as far as the program knows? */
bool table_inherited(int fd);
void table_inherits(int fd, bool yes);

/*
 * The connection of fd, locked, after asking what was negotiated if that was open; NULL: fd is
 * none of ours, or has turned out plain. *ret_error: the call must fail with it (NULL as well).
 */
struct conn *table_use(int fd, int *ret_error);

/* Is fd one of ours? Where table_get() says so, another thread may just have closed it, and the number be
 * that of a file already. */
bool table_is_ours(int fd);

/* The connection of fd as it is, locked; NULL: none. */
struct conn *table_lock(int fd);

/* The same, by conn_lock_still(). */
struct conn *table_look(int fd);

/* fd was duplicated to copy: one more reference. */
void table_copied(int fd, int copy);

/* How many entries c has; c is locked. Those of from become to's, with their references; both are. */
size_t table_count(const struct conn *c);
void table_moved(struct conn *from, struct conn *to);

/* Another program has given fd to this one, with a reference. inherits: as for table_inherits(). */
void table_adopt(int fd, struct conn *c, bool inherits);

/*
 * c, locked, is fd's: other threads' calls wait, as while it is closed, until table_resume(). The
 * reference stays. False: it was closed.
 */
bool table_suspend(int fd, struct conn *c);
void table_resume(int fd, struct conn *c);

/* Is this the process whose table it is? */
bool table_is_own(void);

/* Is fd one of ours, and this a child after vfork(), which is about to become another program? */
bool table_is_foreign(int fd);

/*
 * The program is about to close fd: FINp if nobody else has the connection. Between this and
 * table_closed() other threads' calls wait: the descriptor is neither ours nor the kernel's
 * alone, and nothing may be written past us.
 */
void table_closing(int fd);
void table_closed(int fd);

/* fd, if it is ours, is about to be duplicated to copy: so that nothing is written to that as if it were
 * not, other threads' calls wait as well, until table_closed(). */
void table_awaits(int fd, int copy);

/* In a child that _Fork() or clone() made, where table_closing() does nothing: fd was closed. */
void table_replaced(int fd);

/* Around both of them: no fork comes in between, and no cancellation. Not for a child after vfork(). */
struct table_close {
	bool locked;
	int cancel_state;
};
void table_close_begin(struct table_close *ret);
void table_close_end(const struct table_close *close);

/* fd was closed without our seeing it. */
void table_gone(int fd);

/* fd is the program's as before: it was never connected. */
void table_forget(int fd);

/* The process ends, and so everything is closed by the kernel. What is written afterwards fails. */
void table_ending(void);

/* Another program is about to be started: what has turned out plain, and nobody has asked since, is
 * inherited as this program wants. */
void table_settle(void);

/*
 * Around execve(): the process's references end, and come back if it fails. A child after vfork()
 * has none.
 */
void table_replacing(void);
void table_not_replaced(void);

/* fd listens, and what it accepts is ours to encrypt; all such descriptors are below the end. fd is another
 * file by now: ended. */
void table_listens(int fd);
void table_listener_ended(int fd);
bool table_is_listener(int fd);

/* Of a listener, for negotiated_listener_mend(). */
bool *table_listener_rests(int fd);
int table_listeners_end(void);

/*
 * Sockets that are not connected yet have no state that could be shared. Those that somebody else
 * might use as well, through another descriptor or in another process, are therefore left alone:
 * sole is one that socket() made in this process, since when nobody was forked and it was neither
 * duplicated nor sent.
 */
void table_made(int fd);
void table_shared(int fd);
bool table_is_sole(int fd);
void table_sole_forking(void);

/* Is this a child that _Fork() or clone() made, so that nobody has counted its descriptors? */
bool table_is_uncounted(void);

/* Around fork(): the child has every descriptor as well. */
void table_forking(void);
void table_fork_done(void);
void table_forked(void);

/* The references for a child that is about to be: should there be none in the end, they are
 * taken back. By the thread that forks, around all of it. */
struct table_references {
	struct conn **conns;
	size_t n, size;
	life child;
};
void table_fork_begin(struct table_references *references);
void table_fork_end(struct table_references *references, pid_t pid);

#endif
