// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/confine.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "daemon/log.h"
#include "daemon/sandbox.h"

void confine_begin(struct confinement *c)
{
	secrets_protect(&c->secrets);
}

static int filter(struct confinement *c)
{
	int outcome = sandbox_enter();

	c->filtered = !outcome;
	if (outcome == SANDBOX_NONE)
		log_warning("system calls are not filtered: this is a sanitizer's build");
	else if (outcome == -EOPNOTSUPP || outcome == -ENOSYS || outcome == -EINVAL)
		log_warning("system calls are not filtered: this kernel has no seccomp filter");
	else if (outcome < 0)
		return outcome;
	return 0;
}

int confine(struct confinement *c, const struct config *config, const struct host_lock *lock,
	    struct engine *engine)
{
	struct privilege *p = &c->privilege;
	int error;

	memcpy(c->user, config->user, sizeof(c->user));
	if (!config->sandbox) {
		log_warning("THE SANDBOX IS OFF: the daemon stays root, with all its capabilities. "
			    "Remove sandbox = off from the configuration when done.");
		return 0;
	}
	privilege_find(p, config->user);
	p->ipc_lock = c->secrets.locked && c->secrets.limited;
	host_hand_over(lock, p->uid, p->gid);
	if (engine_hand_over(engine, p->uid, p->gid))
		log_warning("SIGHUP will not bring the first rule that requires encryption, nor "
			    "take away the last");
	error = privilege_drop(p);
	if (error) {
		log_error("root's privileges cannot be dropped: %s", strerror(-error));
		return error;
	}
	secrets_no_dump();
	error = filter(c);
	if (error)
		log_error("system calls cannot be filtered: %s", strerror(-error));
	return error;
}

/* null: all of them. */
static json_t *capabilities(const struct privilege *p)
{
	json_t *names = p->dropped ? json_array() : json_null();
	const char *name;

	for (size_t i = 0; p->dropped && (name = privilege_kept(p, i)); i++)
		json_array_append_new(names, json_string(name));
	return names;
}

json_t *confine_json(const struct confinement *c)
{
	return json_pack("{s:b, s:s, s:b, s:I, s:o, s:b, s:b}", "on", c->privilege.dropped, "user",
			 c->user, "user_missing", c->privilege.user_missing, "uid",
			 (json_int_t)geteuid(), "capabilities", capabilities(&c->privilege),
			 "seccomp", c->filtered, "memory_locked", c->secrets.locked);
}
