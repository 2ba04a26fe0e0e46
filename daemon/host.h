/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's place on the host: its run directory and the claim to be the only one in the
 * network namespace; the interfaces and addresses that the engine serves, as they come and go.
 */
#ifndef DAEMON_HOST_H
#define DAEMON_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/loop.h"
#include "engine/claim.h"
#include "engine/engine.h"

struct host_lock {
	char path[CLAIM_PATH_MAX]; /* of the file that stands for the namespace */
	int claim_fd;		   /* 0: not held */
	int dir_fd;		   /* 0: not held */
	bool theirs;		   /* another daemon takes it away */
};

/* Claims the namespace: no other daemon starts in it meanwhile. 0 or a negative errno value,
 * which is logged. */
int host_claim(struct host_lock *lock);

/* Makes the run directory and claims it and the namespace; logs who is in the way. 0 or a
 * negative errno value. */
int host_lock(struct host_lock *lock, const char *run_dir);
void host_unlock(struct host_lock *lock);

/* The lock, kept by a daemon and by the one that replaces it: it is held as long as either lives.
 * 0 or a negative errno value. */
int host_lock_bequeath(const struct host_lock *lock, struct heritage *to);
int host_lock_inherit(struct host_lock *lock, struct heritage *from);

/* Lets another user take away at the end what host_lock() and the control socket made. */
void host_hand_over(const struct host_lock *lock, uid_t uid, gid_t gid);

struct host_links;

/* Follows interfaces and addresses on the loop and tells the engine. 0 or a negative errno. */
int host_links_open(struct engine *e, struct loop *loop, struct host_links **ret);
void host_links_close(struct host_links *h);

/* The i-th interface that is served; NULL behind the last, or when h is NULL. */
const char *host_links_interface(const struct host_links *h, size_t i);

#endif
