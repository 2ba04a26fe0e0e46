/* SPDX-License-Identifier: BSD-2-Clause */
/* What the daemon gives up once it has started, and what of it could be done: `status` tells. */
#ifndef DAEMON_CONFINE_H
#define DAEMON_CONFINE_H

#include <jansson.h>
#include <stdbool.h>

#include "daemon/config.h"
#include "daemon/host.h"
#include "daemon/privilege.h"
#include "daemon/secrets.h"

struct confinement {
	struct secrets secrets;
	struct privilege privilege;
	bool filtered;		    /* system calls */
	char user[CONFIG_USER_MAX]; /* that was asked for */
};

/* At the very beginning, before there are secrets. */
void confine_begin(struct confinement *c);

/* When everything is open that takes root, and before there is a second thread: another user,
 * few capabilities, few system calls; unless config has the sandbox off. 0 or a negative errno
 * value; what failed is logged. */
int confine(struct confinement *c, const struct config *config, const struct host_lock *lock,
	    struct engine *engine);

/* The object "sandbox" of `status`. */
json_t *confine_json(const struct confinement *c);

#endif
