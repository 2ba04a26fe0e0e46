/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * posix_spawn() where the child is to have connections: as fork(), the actions by this library's own
 * calls, and execve(), which sees to it that they go on in the new program (image.h).
 */
#ifndef INPROC_SPAWN_CHILD_H
#define INPROC_SPAWN_CHILD_H

#include <signal.h>
#include <spawn.h>
#include <stdbool.h>

/* What the child says is an error, an int; if it says nothing, then it is the new program. */
enum { SPAWN_PARENT, SPAWN_CHILD };

struct spawn {
	const char *path;
	bool searches; /* path is looked for as execvp() does */
	bool awaited;  /* the child goes on when the parent has said so */
	const posix_spawn_file_actions_t *actions;
	const posix_spawnattr_t *attributes;
	char *const *argv, *const *envp;
	sigset_t mask; /* the caller's; everything is blocked */
	int wire[2];   /* close-on-exec and kept (kept.h) */
	int error;     /* there is no wire */
};

/* All flags of attributes, which may be NULL, that spawn_child() heeds. */
#define SPAWN_FLAGS                                                                      \
	(POSIX_SPAWN_RESETIDS | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF |          \
	 POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSCHEDPARAM | POSIX_SPAWN_SETSCHEDULER | \
	 POSIX_SPAWN_USEVFORK | POSIX_SPAWN_SETSID)
int spawn_flags(const posix_spawnattr_t *attributes);

/* In the child of the fork. */
_Noreturn void spawn_child(struct spawn *s);

/* Around each fork(), while no other thread forks: children of others do not have a wire. */
void spawn_forking(void);
void spawn_fork_done(void);

#endif
