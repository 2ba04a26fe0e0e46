/* SPDX-License-Identifier: BSD-2-Clause */
/* What a daemon that crashed has left in the calling thread's network namespace. */
#ifndef ENGINE_CLEANUP_H
#define ENGINE_CLEANUP_H

#include <stdbool.h>
#include <stddef.h>

struct cleanup {
	size_t filters;	    /* TC filters removed, with their qdisc where nothing else is on it */
	size_t gone_guards; /* guards of network namespaces that are gone, removed */
	bool claim;	    /* a lock file that nobody held, removed */
	bool guard_found;   /* policy `require` is enforced by a guard */
	bool guard_removed;
};

/* Removes it; the guard only if asked to, because what requires encryption is plain then. 0 or a
 * negative errno value; -EBUSY: a daemon lives here, and nothing was touched. */
int cleanup(bool guard, struct cleanup *ret);

#endif
