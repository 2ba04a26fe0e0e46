// SPDX-License-Identifier: BSD-2-Clause
/* What a child does before it is another program, in the C library's order and with its errors. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "inproc/kept.h"
#include "inproc/next.h"
#include "inproc/spawn_child.h"
#include "inproc/spawn_actions.h"

/* As the C library has it where there is no PATH. */
#define PATH_DEFAULT "/bin:/usr/bin"
#define FAILED	     127

/* 0, or the negative errno value of what has just failed. */
static int result(bool done)
{
	return done ? 0 : -errno;
}

int spawn_flags(const posix_spawnattr_t *attributes)
{
	short flags = 0;

	if (attributes)
		posix_spawnattr_getflags(attributes, &flags);
	return flags & USHRT_MAX;
}

/* The parent's handlers shall not run here. */
static void handlers_reset(const struct spawn *s, int flags)
{
	const struct sigaction none = { .sa_handler = SIG_DFL };
	struct sigaction action;
	sigset_t wanted;

	sigemptyset(&wanted);
	if (flags & POSIX_SPAWN_SETSIGDEF)
		posix_spawnattr_getsigdefault(s->attributes, &wanted);
	for (int number = 1; number < _NSIG; number++) {
		if (next()->sigaction(number, NULL, &action))
			continue;
		if (sigismember(&wanted, number) == 1 ||
		    (action.sa_handler != SIG_IGN && action.sa_handler != SIG_DFL))
			next()->sigaction(number, &none, NULL);
	}
}

static int schedule(const struct spawn *s, int flags)
{
	struct sched_param parameters;
	int policy;

	posix_spawnattr_getschedparam(s->attributes, &parameters);
	posix_spawnattr_getschedpolicy(s->attributes, &policy);
	if (flags & POSIX_SPAWN_SETSCHEDULER)
		return result(sched_setscheduler(0, policy, &parameters) >= 0);
	return result(!sched_setparam(0, &parameters));
}

static int attributes_apply(const struct spawn *s, int flags)
{
	pid_t group;
	int r = 0;

	handlers_reset(s, flags);
	if (flags & (POSIX_SPAWN_SETSCHEDULER | POSIX_SPAWN_SETSCHEDPARAM))
		r = schedule(s, flags);
	if (!r && flags & POSIX_SPAWN_SETSID)
		r = result(setsid() >= 0);
	if (!r && flags & POSIX_SPAWN_SETPGROUP) {
		posix_spawnattr_getpgroup(s->attributes, &group);
		r = result(!setpgid(0, group));
	}
	if (!r && flags & POSIX_SPAWN_RESETIDS)
		r = result(!seteuid(getuid()) && !setegid(getgid()));
	return r;
}

/* The wire stays, wherever the program wants its descriptors. */
static void make_way(struct spawn *s, int fd)
{
	int *wire = &s->wire[SPAWN_CHILD], moved;

	if (fd != *wire)
		return;
	moved = next()->fcntl(fd, F_DUPFD_CLOEXEC, fd + 1);
	kept_set(fd, false);
	kept_set(moved, true);
	*wire = moved;
}

/* It may be closed already, but must be a number of a descriptor. */
static int action_close(int fd)
{
	struct rlimit limit;

	if (!close(fd))
		return 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	return fd >= 0 && (rlim_t)fd < limit.rlim_cur ? 0 : -EBADF;
}

static int action_dup2(struct spawn *s, int fd, int to)
{
	int flags;

	if (fd != to) {
		make_way(s, to);
		return result(dup2(fd, to) == to);
	}
	flags = fcntl(fd, F_GETFD);
	return result(flags >= 0 && !fcntl(fd, F_SETFD, flags & ~FD_CLOEXEC));
}

static int action_open(struct spawn *s, const struct spawn_action *a)
{
	const int to = a->open.fd;
	int fd, r;

	make_way(s, to);
	close(to);
	fd = open(a->open.path, a->open.flags, a->open.mode);
	if (fd < 0 || fd == to)
		return result(fd == to);
	r = result(dup2(fd, to) == to);
	return r ? r : result(!close(fd));
}

static int action(struct spawn *s, const struct spawn_action *a)
{
	switch (a->kind) {
	case SPAWN_CLOSE:
		return action_close(a->fd);
	case SPAWN_DUP2:
		return action_dup2(s, a->dup2.fd, a->dup2.to);
	case SPAWN_OPEN:
		return action_open(s, a);
	case SPAWN_CHDIR:
		return result(!chdir(a->path));
	case SPAWN_FCHDIR:
		return result(!fchdir(a->fd));
	case SPAWN_CLOSEFROM:
		return result(!close_range(a->fd, ~0U, 0));
	case SPAWN_TCSETPGRP:
		return result(!tcsetpgrp(a->fd, getpgrp()));
	case SPAWN_KINDS:
		break;
	}
	return -EOPNOTSUPP;
}

static int actions_do(struct spawn *s)
{
	const struct spawn_action *list;
	size_t n;
	int r = 0;

	list = spawn_actions(s->actions, &n);
	for (size_t i = 0; !r && i < n; i++)
		r = action(s, &list[i]);
	return r;
}

/* Is it worth while to look for a program elsewhere? */
static bool is_elsewhere(int error)
{
	return error == EACCES || error == ENOENT || error == ESTALE || error == ENOTDIR ||
	       error == ENODEV || error == ETIMEDOUT;
}

/* Unlike execvp() posix_spawnp() leaves a file without "#!" to nobody. Returns if there is none. */
static int search(const struct spawn *s)
{
	const char *path = getenv("PATH");
	bool refused = false;
	char full[PATH_MAX];
	int error = ENOENT;
	size_t len;

	if (strlen(s->path) > NAME_MAX)
		return -ENAMETOOLONG;
	for (path = path ? path : PATH_DEFAULT;; path += len + 1) {
		len = strcspn(path, ":");
		if ((size_t)snprintf(full, sizeof(full), "%.*s%s%s", (int)len, path, len ? "/" : "",
				     s->path) < sizeof(full)) {
			execve(full, s->argv, s->envp);
			error = errno;
			refused |= error == EACCES;
			if (!is_elsewhere(error))
				return -error;
		}
		if (!path[len])
			return refused ? -EACCES : -error;
	}
}

static int start(const struct spawn *s, int flags)
{
	sigset_t mask = s->mask;

	if (flags & POSIX_SPAWN_SETSIGMASK)
		posix_spawnattr_getsigmask(s->attributes, &mask);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (s->searches && *s->path && !strchr(s->path, '/'))
		return search(s);
	return result(!execve(s->path, s->argv, s->envp));
}

/* If the parent is not content there is nobody to tell, either. */
static bool may_go_on(const struct spawn *s)
{
	char word;

	return !s->awaited || next()->recv(s->wire[SPAWN_CHILD], &word, sizeof(word), 0) > 0;
}

_Noreturn void spawn_child(struct spawn *s)
{
	const int flags = spawn_flags(s->attributes);
	int r;

	if (s->error)
		_exit(FAILED);
	kept_set(s->wire[SPAWN_PARENT], false);
	next()->close(s->wire[SPAWN_PARENT]);
	if (!may_go_on(s))
		_exit(FAILED);
	r = attributes_apply(s, flags);
	if (!r)
		r = actions_do(s);
	if (!r)
		r = start(s, flags);
	r = r ? -r : ECHILD;
	next()->send(s->wire[SPAWN_CHILD], &r, sizeof(r), MSG_NOSIGNAL);
	_exit(FAILED);
}
