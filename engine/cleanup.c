// SPDX-License-Identifier: BSD-2-Clause
#include "engine/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/claim.h"
#include "engine/engine.h"
#include "engine/guard.h"
#include "engine/links.h"
#include "engine/tc.h"

struct sweep {
	struct cleanup *result;
	int error;
};

static void link_sweep(void *data, const struct links_interface *interface)
{
	struct sweep *s = data;
	int outcome = tc_sweep(interface->index, interface->loopback);

	if (outcome < 0)
		s->error = outcome;
	s->result->filters += outcome > 0;
}

static void address_ignore(void *data, const uint8_t addr[16], bool present)
{
}

static int filters_remove(struct cleanup *result)
{
	static const struct links_ops ops = { .link = link_sweep, .address = address_ignore };
	struct sweep sweep = { .result = result };
	struct links *links = NULL;
	int error = links_open(&ops, &sweep, &links);

	links_close(links);
	return error ? error : sweep.error;
}

/* Takes the lock, so that no daemon starts meanwhile. *ret_fd -1: there is no file. */
static int claim_take(const char *path, int *ret_fd)
{
	int tries = CLAIM_TRIES;
	int error;

	*ret_fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
	if (*ret_fd < 0)
		return errno == ENOENT ? 0 : -errno;
	/* A daemon that starts elsewhere and sweeps has it for a moment, too. */
	do
		error = flock(*ret_fd, LOCK_EX | LOCK_NB) ? -errno : 0;
	while (error == -EWOULDBLOCK && tries-- && !usleep(CLAIM_WAIT_US));
	if (error)
		close(*ret_fd);
	return error == -EWOULDBLOCK ? -EBUSY : error;
}

int cleanup(bool guard, struct cleanup *ret)
{
	char path[CLAIM_PATH_MAX];
	uint64_t cookie;
	int fd, error;

	memset(ret, 0, sizeof(*ret));
	error = engine_find_netns(&cookie);
	if (error)
		return error;
	claim_path(cookie, path);
	error = claim_take(path, &fd);
	if (error)
		return error;
	error = filters_remove(ret);
	ret->guard_found = guard_is_pinned(cookie);
	if (!error && guard && ret->guard_found) {
		error = guard_remove(cookie);
		ret->guard_removed = !error;
	}
	if (!error)
		error = guard_remove_gone(&ret->gone_guards);
	if (fd >= 0) {
		ret->claim = !unlink(path);
		close(fd);
	}
	return error;
}
