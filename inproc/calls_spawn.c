// SPDX-License-Identifier: BSD-2-Clause
/*
 * A new process with a new program. The C library makes it without fork(), so that it has none of this
 * one's connections; which is as well as long as the program does not want it to have one.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/kept.h"
#include "inproc/next.h"
#include "inproc/spawn_child.h"
#include "inproc/spawn_actions.h"

typedef int spawn_function(pid_t *, const char *, const posix_spawn_file_actions_t *,
			   const posix_spawnattr_t *, char *const[], char *const[]);

/* What this thread's next fork() is for. */
static _Thread_local struct spawn *beginning;

void spawn_forking(void)
{
	int *wire;

	if (!beginning)
		return;
	wire = beginning->wire;
	if (next()->socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, wire)) {
		beginning->error = errno;
		return;
	}
	for (int i = 0; i < 2; i++) {
		wire[i] = kept_move_up(wire[i]);
		kept_set(wire[i], true);
	}
}

static void wire_close(int fd)
{
	kept_set(fd, false);
	next()->close(fd);
}

void spawn_fork_done(void)
{
	if (beginning && !beginning->error)
		wire_close(beginning->wire[SPAWN_CHILD]);
}

/* A duplicate in the child needs a child that can have it. */
CALL int posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to)
{
	if (table_get(fd) && (!table_is_own() || !spawn_actions_legible()))
		return EBADF;
	return spawn_actions_adddup2(actions, fd, to);
}

/* The list, as far as it can be read. */
static const struct spawn_action *actions_of(const struct spawn *s, size_t *ret_n)
{
	*ret_n = 0;
	return s->actions && spawn_actions_legible() ? spawn_actions(s->actions, ret_n) : NULL;
}

static bool is_understood(const struct spawn *s)
{
	const struct spawn_action *list;
	size_t n;

	if (spawn_flags(s->attributes) & ~SPAWN_FLAGS || (s->actions && !spawn_actions_legible()))
		return false;
	list = actions_of(s, &n);
	for (size_t i = 0; i < n; i++)
		if (list[i].kind >= SPAWN_KINDS)
			return false;
	return true;
}

/* After asking what was negotiated if that was open. */
static bool is_connection(int fd)
{
	struct conn *c = table_get(fd);
	int error;

	if (c && table_is_own() && (c = table_use(fd, &error)))
		conn_unlock(c);
	return table_get(fd);
}

/* Do the actions make a duplicate of a connection, with whatever number? */
static bool duplicates_connection(const struct spawn *s)
{
	const struct spawn_action *list;
	size_t n;

	list = actions_of(s, &n);
	for (size_t i = 0; i < n; i++)
		if (list[i].kind == SPAWN_DUP2 && is_connection(list[i].dup2.fd))
			return true;
	return false;
}

/* The lowest descriptor that the child would have by itself, or -1. */
static int inherited_first(void)
{
	const int end = atomic_load(&table_end);

	for (int fd = 0; fd < end; fd++)
		if (table_get(fd) && table_inherited(fd))
			return fd;
	return -1;
}

enum way { WAY_NATIVE, WAY_FORK };

/* Or a negative errno value. */
static int way_of(const struct spawn *s)
{
	bool duplicates, standard;
	int inherited;

	table_settle();
	duplicates = duplicates_connection(s);
	if (!table_is_own())
		return duplicates ? -EBADF : WAY_NATIVE;
	inherited = inherited_first();
	if (!duplicates && inherited < 0)
		return WAY_NATIVE;
	if (is_understood(s))
		return WAY_FORK;
	/* As with programs that cannot have the library. */
	standard = inherited >= 0 && inherited <= STDERR_FILENO;
	return duplicates || standard ? -EOPNOTSUPP : WAY_NATIVE;
}

/* There are no connections for it, but perhaps listeners. */
static int by_next(const struct spawn *s, pid_t *ret, spawn_function *following)
{
	size_t size;
	char *const *made;
	int r;

	if (!following)
		return ENOSYS;
	made = calls_environment(s->envp, NULL, &size);
	r = following(ret, s->path, s->actions, s->attributes, s->argv, made);
	if (size)
		munmap((void *)(uintptr_t)made, size);
	return r;
}

/* A descriptor of the child, which waits, lest somebody reap it before. Or a negative errno value. */
static int child_open(const struct spawn *s, pid_t pid)
{
	const int fd = next()->syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0)
		return -errno;
	calls_new(fd);
	next()->send(s->wire[SPAWN_PARENT], "", 1, MSG_NOSIGNAL);
	return fd;
}

/* 0: it is the new program, or was killed. */
static int child_error(const struct spawn *s)
{
	int error = 0;
	ssize_t n;

	do {
		n = next()->recv(s->wire[SPAWN_PARENT], &error, sizeof(error), 0);
	} while (n < 0 && errno == EINTR);
	return n == sizeof(error) ? error : 0;
}

/* Returns an error, or *ret is the child's name: its number, or a descriptor. */
static int child_follow(const struct spawn *s, pid_t pid, int *ret)
{
	int name, error;

	if (s->error)
		return s->error;
	name = s->awaited ? child_open(s, pid) : pid;
	error = name < 0 ? -name : child_error(s);
	wire_close(s->wire[SPAWN_PARENT]);
	if (error && s->awaited && name >= 0)
		next()->close(name);
	if (!error && ret)
		*ret = name;
	return error;
}

static int parent(const struct spawn *s, pid_t pid, int *ret)
{
	sigset_t mask = s->mask;
	int error;

	/* A new program may have to wait for a peer; a child that is none is not the program's to reap. */
	sigaddset(&mask, SIGCHLD);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	error = child_follow(s, pid, ret);
	while (error && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return error;
}

static int by_fork(struct spawn *s, int *ret)
{
	int cancel_state, error = 0;
	sigset_t all;
	pid_t pid;

	calls_send_held();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &s->mask);
	beginning = s;
	pid = fork();
	if (pid < 0)
		error = errno;
	beginning = NULL;
	if (!pid)
		spawn_child(s);
	if (pid > 0)
		error = parent(s, pid, ret);
	else if (!s->error)
		wire_close(s->wire[SPAWN_PARENT]);
	pthread_sigmask(SIG_SETMASK, &s->mask, NULL);
	pthread_setcancelstate(cancel_state, NULL);
	return error;
}

static int spawn(struct spawn *s, int *ret, spawn_function *following)
{
	const int saved = errno, way = atomic_load(&table_end) ? way_of(s) : WAY_NATIVE;
	int r;

	errno = saved;
	if (way == WAY_NATIVE)
		return by_next(s, ret, following);
	r = way == WAY_FORK ? by_fork(s, ret) : -way;
	/* There is no need to, but some read it; the C library's child shares its own. */
	errno = r ? r : saved;
	return r;
}

/* The parameters of all of them. */
#define SPAWN_PARAMETERS                                                                  \
	const char *restrict path, const posix_spawn_file_actions_t *restrict actions,    \
		const posix_spawnattr_t *restrict attributes, char *const argv[restrict], \
		char *const envp[restrict]
#define SPAWN_REQUEST(...)                          \
	(&(struct spawn){ .path = path,             \
			  .actions = actions,       \
			  .attributes = attributes, \
			  .argv = argv,             \
			  .envp = envp,             \
			  .wire = { -1, -1 },       \
			  __VA_ARGS__ })

CALL int posix_spawn(pid_t *restrict pid, SPAWN_PARAMETERS)
{
	return spawn(SPAWN_REQUEST(), pid, next()->posix_spawn);
}

CALL int posix_spawnp(pid_t *restrict pid, SPAWN_PARAMETERS)
{
	return spawn(SPAWN_REQUEST(.searches = true), pid, next()->posix_spawnp);
}

/* NULL: the C library has none. */
static spawn_function *find(const char *name)
{
	spawn_function *found;

	*(void **)&found = dlsym(RTLD_NEXT, name);
	return found;
}

/* Since glibc 2.39; their result is a descriptor. */
int pidfd_spawn(int *restrict fd, SPAWN_PARAMETERS);
int pidfd_spawnp(int *restrict fd, SPAWN_PARAMETERS);

CALL int pidfd_spawn(int *restrict fd, SPAWN_PARAMETERS)
{
	return spawn(SPAWN_REQUEST(.awaited = true), fd, find("pidfd_spawn"));
}

CALL int pidfd_spawnp(int *restrict fd, SPAWN_PARAMETERS)
{
	return spawn(SPAWN_REQUEST(.awaited = true, .searches = true), fd, find("pidfd_spawnp"));
}
