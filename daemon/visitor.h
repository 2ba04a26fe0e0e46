/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who asks on the control socket, and what that user may see and do: root and the daemon's
 * user everything, anybody else totals and what concerns the own connections.
 */
#ifndef DAEMON_VISITOR_H
#define DAEMON_VISITOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "daemon/ledger.h"

/* How many may be connected at a time: in all, of all users but root's, and of one of these. */
#define VISITORS_MAX	    64
#define VISITORS_OTHERS_MAX 48
#define VISITORS_USER_MAX   8

struct visitor {
	uid_t uid;
	bool trusted;
};

/* Whom the kernel names at the other end of a connection; nobody when it does not. */
void visitor_read(int fd, struct visitor *ret);

bool visitor_may_see(const struct visitor *v, const struct record *r);

/* Is there room for another one? n are there in all, n_others not trusted, n_own of its user. */
bool visitor_has_room(const struct visitor *v, size_t n, size_t n_others, size_t n_own);

#endif
