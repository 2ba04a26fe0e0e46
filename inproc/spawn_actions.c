// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/spawn_actions.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>

int spawn_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to)
{
	static int (*following)(posix_spawn_file_actions_t *, int, int);

	if (!following)
		*(void **)&following = dlsym(RTLD_NEXT, "posix_spawn_file_actions_adddup2");
	return following(actions, fd, to);
}

const struct spawn_action *spawn_actions(const posix_spawn_file_actions_t *actions, size_t *ret_n)
{
	*ret_n = actions && actions->__used > 0 ? actions->__used : 0;
	return *ret_n ? (const void *)actions->__actions : NULL;
}

/* One of each kind. */
static const struct spawn_action samples[SPAWN_KINDS] = {
	{ .kind = SPAWN_CLOSE, .fd = 11 },
	{ .kind = SPAWN_DUP2, .dup2 = { 12, 13 } },
	{ .kind = SPAWN_OPEN, .open = { 14, "/one", O_RDWR | O_APPEND, 0640 } },
	{ .kind = SPAWN_CHDIR, .path = "/two" },
	{ .kind = SPAWN_FCHDIR, .fd = 15 },
	{ .kind = SPAWN_CLOSEFROM, .fd = 16 },
	{ .kind = SPAWN_TCSETPGRP, .fd = 17 },
};

static int sample_add(posix_spawn_file_actions_t *to, const struct spawn_action *a)
{
	switch (a->kind) {
	case SPAWN_CLOSE:
		return posix_spawn_file_actions_addclose(to, a->fd);
	case SPAWN_DUP2:
		return spawn_actions_adddup2(to, a->dup2.fd, a->dup2.to);
	case SPAWN_OPEN:
		return posix_spawn_file_actions_addopen(to, a->open.fd, a->open.path, a->open.flags,
							a->open.mode);
	case SPAWN_CHDIR:
		return posix_spawn_file_actions_addchdir_np(to, a->path);
	case SPAWN_FCHDIR:
		return posix_spawn_file_actions_addfchdir_np(to, a->fd);
	case SPAWN_CLOSEFROM:
		return posix_spawn_file_actions_addclosefrom_np(to, a->fd);
	case SPAWN_TCSETPGRP:
		return posix_spawn_file_actions_addtcsetpgrp_np(to, a->fd);
	case SPAWN_KINDS:
		break;
	}
	return EINVAL;
}

static bool is_same(const struct spawn_action *a, const struct spawn_action *b)
{
	if (a->kind != b->kind)
		return false;
	if (a->kind == SPAWN_DUP2)
		return a->dup2.fd == b->dup2.fd && a->dup2.to == b->dup2.to;
	if (a->kind == SPAWN_OPEN)
		return a->open.fd == b->open.fd && a->open.flags == b->open.flags &&
		       a->open.mode == b->open.mode && !strcmp(a->open.path, b->open.path);
	if (a->kind == SPAWN_CHDIR)
		return !strcmp(a->path, b->path);
	return a->fd == b->fd;
}

static bool compare(void)
{
	posix_spawn_file_actions_t actions;
	const struct spawn_action *list;
	bool same;
	size_t n;

	if (posix_spawn_file_actions_init(&actions))
		return false;
	same = !spawn_actions(&actions, &n) && !n;
	for (size_t i = 0; same && i < SPAWN_KINDS; i++)
		same = !sample_add(&actions, &samples[i]);
	list = spawn_actions(&actions, &n);
	same = same && n == SPAWN_KINDS;
	for (size_t i = 0; same && i < SPAWN_KINDS; i++)
		same = is_same(&list[i], &samples[i]);
	posix_spawn_file_actions_destroy(&actions);
	return same;
}

bool spawn_actions_legible(void)
{
	static _Atomic enum { UNKNOWN, LEGIBLE, OTHER } known;

	if (known == UNKNOWN)
		known = compare() ? LEGIBLE : OTHER;
	return known == LEGIBLE;
}
