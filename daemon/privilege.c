// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/sandbox.h"

#define KEPT_MAX 4

/* SECURITY.md has the reasons. */
static size_t kept(const struct privilege *p, unsigned int ret[static KEPT_MAX])
{
	size_t n = 0;

	ret[n++] = CAP_NET_ADMIN;
	if (p->ipc_lock)
		ret[n++] = CAP_IPC_LOCK;
	if (SANDBOX_SANITIZED)
		ret[n++] = CAP_SYS_PTRACE; /* LeakSanitizer looks at a process that shows nothing */
	return n;
}

const char *privilege_kept(const struct privilege *p, size_t i)
{
	unsigned int capabilities[KEPT_MAX];

	return i < kept(p, capabilities) ? capng_capability_to_name(capabilities[i]) : NULL;
}

void privilege_find(struct privilege *p, const char *user)
{
	const struct passwd *entry = getpwnam(user);

	p->user_missing = !entry;
	p->uid = entry ? entry->pw_uid : 0;
	p->gid = entry ? entry->pw_gid : getgid();
	if (!entry)
		log_warning("THERE IS NO USER %s: the daemon stays root, with fewer capabilities. "
			    "`systemd-sysusers` or `useradd --system %s` makes it.",
			    user, user);
	else if (!p->uid)
		log_warning("the configuration has the daemon stay root");
}

int privilege_drop(struct privilege *p)
{
	unsigned int capabilities[KEPT_MAX];
	int death_signal = 0;
	size_t n = kept(p, capabilities);

	/* The kernel forgets it with the change of user, but whoever started us does not. */
	prctl(PR_GET_PDEATHSIG, &death_signal);
	capng_clear(CAPNG_SELECT_ALL);
	for (size_t i = 0; i < n; i++)
		if (capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, capabilities[i]))
			return -EINVAL;
	/* User ID 0 means nothing any more, neither now nor for what might be executed. */
	if (capng_lock())
		return -EPERM;
	if (capng_change_id(p->uid ? (int)p->uid : -1, p->uid ? (int)p->gid : -1,
			    CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING))
		return -EPERM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	prctl(PR_SET_PDEATHSIG, death_signal);
	p->dropped = true;
	return 0;
}
