/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that holds keys and plaintext stays memory (8548-3.3-4, 8548-3.5-19, 8548-8-3): no
 * core file, no swap, no debugger that is not root's.
 */
#ifndef DAEMON_SECRETS_H
#define DAEMON_SECRETS_H

#include <stdbool.h>

struct secrets {
	bool locked;  /* all memory, now and later: it is never swapped out */
	bool limited; /* by RLIMIT_MEMLOCK, so that locking more of it takes CAP_IPC_LOCK */
};

/* For the whole process, before it has secrets. Logs what could not be had. */
void secrets_protect(struct secrets *ret);

/* Again after a change of user, which makes the kernel forget. */
void secrets_no_dump(void);

#endif
