// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/secrets.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "daemon/log.h"

/* Without a limit on locked memory CAP_IPC_LOCK can be given up. */
static bool limit_raise(void)
{
	const struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };

	return !setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

void secrets_no_dump(void)
{
	prctl(PR_SET_DUMPABLE, 0);
}

void secrets_protect(struct secrets *ret)
{
	const struct rlimit none = { 0, 0 };

	setrlimit(RLIMIT_CORE, &none);
	secrets_no_dump();
	ret->limited = !limit_raise();
	/* Under a limit that holds for us, memory that must be locked would run out at the limit. */
	if (ret->limited && !capng_have_capability(CAPNG_EFFECTIVE, CAP_IPC_LOCK)) {
		log_warning("too little memory may be locked: keys may be written to swap");
		return;
	}
	/* Only pages that are in use: stacks and arenas are mapped larger than they become. */
	ret->locked = !mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
	if (!ret->locked)
		log_warning("memory cannot be locked: %s; keys may be written to swap",
			    strerror(errno));
}
