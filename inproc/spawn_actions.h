/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What posix_spawn_file_actions_t says is to be done in the child. Programs may move such an object
 * (Rust's nix does), so that a list beside it, known by its address, would be another one's; and
 * whoever does not see a dup2() of a connection gives a program its socket. Therefore the C library's
 * own list is read. What that looks like is its business, though it has been so for twenty years: it
 * is compared first with a list made by its own calls.
 */
#ifndef INPROC_SPAWN_ACTIONS_H
#define INPROC_SPAWN_ACTIONS_H

#include <spawn.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* In the C library's order. */
enum spawn_action_kind {
	SPAWN_CLOSE,
	SPAWN_DUP2,
	SPAWN_OPEN,
	SPAWN_CHDIR,
	SPAWN_FCHDIR,
	SPAWN_CLOSEFROM,
	SPAWN_TCSETPGRP,
	SPAWN_KINDS,
};

struct spawn_action {
	enum spawn_action_kind kind; /* SPAWN_KINDS or more: a later one's */
	union {
		int fd; /* also the lowest one of closefrom() */
		struct {
			int fd, to;
		} dup2;
		struct {
			int fd;
			const char *path;
			int flags;
			mode_t mode;
		} open;
		const char *path;
	};
};

/* Is the C library's list what this file says? Takes memory from malloc(). */
bool spawn_actions_legible(void);

/* If they are: the list, in order, valid as long as actions, which may be NULL, is not changed. */
const struct spawn_action *spawn_actions(const posix_spawn_file_actions_t *actions, size_t *ret_n);

/* Past calls_spawn.c. */
int spawn_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to);

#endif
