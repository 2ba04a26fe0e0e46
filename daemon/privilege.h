/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the daemon may do once it has started: as its own user, with the capabilities that
 * SECURITY.md gives a reason for, and nothing that could bring more.
 */
#ifndef DAEMON_PRIVILEGE_H
#define DAEMON_PRIVILEGE_H

#include <stdbool.h>
#include <sys/types.h>

struct privilege {
	bool dropped;
	bool user_missing; /* there is none of that name: the user ID stays 0 */
	bool ipc_lock;	   /* memory is locked under a limit: that takes a capability */
	uid_t uid;
	gid_t gid;
};

/* Finds the user to become; logs loudly when there is none. */
void privilege_find(struct privilege *p, const char *user);

/* Becomes that user. Capabilities are a thread's: call it before there is a second one. 0 or a
 * negative errno value, after which nobody knows what is left: end. */
int privilege_drop(struct privilege *p);

/* The name of the i-th capability that is kept; NULL behind the last. */
const char *privilege_kept(const struct privilege *p, size_t i);

#endif
