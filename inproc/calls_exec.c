// SPDX-License-Identifier: BSD-2-Clause
/*
 * A new program takes the place of this one. Its connections end here, as far as this process is
 * concerned (see table_enter()): who else has them must know, or nobody would send FINp.
 * Listeners live on; so that what they accept has somebody who can read it, the new program gets
 * this library even when its environment was made anew, as nginx does to upgrade.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/next.h"

#define PRELOAD "LD_PRELOAD="
#define KEPT	8

/* As they were when this program began: LD_PRELOAD, and what `tcpcrypt run` says. */
static const char *kept[KEPT];
static size_t n_kept;

static bool is_kept(const char *entry)
{
	return !strncmp(entry, PRELOAD, strlen(PRELOAD)) || !strncmp(entry, "TCPCRYPT_", 9);
}

__attribute__((constructor(105))) static void keep(void)
{
	for (char **e = environ; e && *e && n_kept < KEPT; e++)
		if (is_kept(*e) && (kept[n_kept] = strdup(*e)))
			n_kept++;
}

/* Does the new program get a listener that this library has marked? */
static bool passes_listener(void)
{
	int end = table_listeners_end();

	for (int fd = 0; fd < end; fd++) {
		int listens = 0, flags = next()->fcntl(fd, F_GETFD);
		socklen_t len = sizeof(listens);

		if (flags < 0 || flags & FD_CLOEXEC)
			continue;
		if (!next()->getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens)
			return true;
	}
	return false;
}

/*
 * The environment for the new program, in memory that goes with this one: malloc() is not for a
 * child of a process with threads. *ret_size: of what is to be unmapped if there is no new program.
 */
static char *const *environment(char *const envp[], size_t *ret_size)
{
	char **made;
	size_t n = 0, at = 0;

	*ret_size = 0;
	for (; envp && envp[n]; n++)
		if (!strncmp(envp[n], PRELOAD, strlen(PRELOAD)))
			return envp;
	if (!n_kept || !passes_listener())
		return envp;
	*ret_size = (n + n_kept + 1) * sizeof(*made);
	made = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (made == MAP_FAILED) {
		*ret_size = 0;
		return envp;
	}
	for (size_t i = 0; i < n; i++)
		if (!is_kept(envp[i]))
			made[at++] = envp[i];
	for (size_t i = 0; i < n_kept; i++)
		made[at++] = (char *)(uintptr_t)kept[i];
	return made;
}

/* What the calls have in common: where says which program, and who looks for it. */
struct target {
	const char *path;
	int fd;
	int flags;
	int (*call)(const struct target *, char *const argv[], char *const envp[]);
};

static int call_path(const struct target *t, char *const argv[], char *const envp[])
{
	return next()->execve(t->path, argv, envp);
}

static int call_search(const struct target *t, char *const argv[], char *const envp[])
{
	return next()->execvpe(t->path, argv, envp);
}

static int call_fd(const struct target *t, char *const argv[], char *const envp[])
{
	return next()->fexecve(t->fd, argv, envp);
}

static int call_at(const struct target *t, char *const argv[], char *const envp[])
{
	return next()->execveat(t->fd, t->path, argv, envp, t->flags);
}

/* Programs try one path after the other. */
static bool may_exist(const struct target *t)
{
	return t->call == call_at || !t->path || !strchr(t->path, '/') || !access(t->path, X_OK);
}

/*
 * The new program is to talk on a connection that it cannot have. It would find the descriptor
 * closed, or /dev/null in its place, and both ends would wait for ever.
 */
static bool talks(void)
{
	int error;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		struct conn *c;

		/* After vfork() the table is the parent's. */
		if (!table_get(fd) || table_is_foreign(fd))
			continue;
		c = table_use(fd, &error);
		if (!c)
			continue;
		conn_unlock(c);
		return true;
	}
	return false;
}

static int replace(const struct target *t, char *const argv[], char *const envp[])
{
	char *const *environment_new;
	size_t size;
	bool leaves;
	int r, saved;

	calls_send_held();
	if (talks())
		return calls_result(-EOPNOTSUPP);
	environment_new = environment(envp, &size);
	leaves = may_exist(t);
	if (leaves) {
		/* The helper thread goes, and with it what it has not sent yet. */
		if (table_is_own())
			helper_finish();
		table_replacing();
	}
	r = t->call(t, argv, environment_new);
	saved = errno;
	if (leaves)
		table_not_replaced();
	if (size)
		munmap((void *)(uintptr_t)environment_new, size);
	errno = saved;
	return r;
}

CALL int execve(const char *path, char *const argv[], char *const envp[])
{
	return replace(&(struct target){ .path = path, .call = call_path }, argv, envp);
}

CALL int execv(const char *path, char *const argv[])
{
	return execve(path, argv, environ);
}

CALL int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return replace(&(struct target){ .path = file, .call = call_search }, argv, envp);
}

CALL int execvp(const char *file, char *const argv[])
{
	return execvpe(file, argv, environ);
}

CALL int fexecve(int fd, char *const argv[], char *const envp[])
{
	return replace(&(struct target){ .fd = fd, .call = call_fd }, argv, envp);
}

CALL int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	return replace(&(struct target){ .path = path, .fd = dir, .flags = flags, .call = call_at },
		       argv, envp);
}

/* The arguments as a list; few of them, as usual, cost a parent after vfork() no memory. */
struct list {
	char *few[256];
	char **argv;
	size_t size; /* of what is mapped instead */
};

/* Two walks: ap to count by, ap2 to take. False: no memory. */
static bool list_make(struct list *list, const char *first, va_list *ap, va_list *ap2)
{
	size_t n = 1;
	char **at;

	for (const char *argument = first; argument; argument = va_arg(*ap, const char *))
		n++;
	list->argv = list->few;
	list->size = 0;
	if (n > sizeof(list->few) / sizeof(list->few[0])) {
		list->size = n * sizeof(char *);
		list->argv = mmap(NULL, list->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
	if (list->argv == MAP_FAILED)
		return false;
	at = list->argv;
	*at = (char *)(uintptr_t)first;
	while (*at)
		*++at = va_arg(*ap2, char *);
	return true;
}

/* There is no new program. */
static int list_end(struct list *list, int r)
{
	int saved = errno;

	if (list->size)
		munmap(list->argv, list->size);
	errno = saved;
	return r;
}

CALL int execl(const char *path, const char *first, ...)
{
	struct list list;
	va_list ap, ap2;
	bool made;

	va_start(ap, first);
	va_start(ap2, first);
	made = list_make(&list, first, &ap, &ap2);
	va_end(ap2);
	va_end(ap);
	return made ? list_end(&list, execve(path, list.argv, environ)) : -1;
}

CALL int execlp(const char *file, const char *first, ...)
{
	struct list list;
	va_list ap, ap2;
	bool made;

	va_start(ap, first);
	va_start(ap2, first);
	made = list_make(&list, first, &ap, &ap2);
	va_end(ap2);
	va_end(ap);
	return made ? list_end(&list, execvpe(file, list.argv, environ)) : -1;
}

CALL int execle(const char *path, const char *first, ...)
{
	char *const *envp = NULL;
	struct list list;
	va_list ap, ap2;
	bool made;

	va_start(ap, first);
	va_start(ap2, first);
	made = list_make(&list, first, &ap, &ap2);
	if (made)
		envp = va_arg(ap2, char *const *);
	va_end(ap2);
	va_end(ap);
	return made ? list_end(&list, execve(path, list.argv, envp)) : -1;
}

/* These begin a process that has no reference, for no handler of fork() runs; it may have listeners. */
CALL int posix_spawn(pid_t *restrict pid, const char *restrict path,
		     const posix_spawn_file_actions_t *restrict actions,
		     const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
		     char *const envp[restrict])
{
	size_t size;
	char *const *made = environment(envp, &size);
	int r = next()->posix_spawn(pid, path, actions, attributes, argv, made);

	if (size)
		munmap((void *)(uintptr_t)made, size);
	return r;
}

CALL int posix_spawnp(pid_t *restrict pid, const char *restrict file,
		      const posix_spawn_file_actions_t *restrict actions,
		      const posix_spawnattr_t *restrict attributes, char *const argv[restrict],
		      char *const envp[restrict])
{
	size_t size;
	char *const *made = environment(envp, &size);
	int r = next()->posix_spawnp(pid, file, actions, attributes, argv, made);

	if (size)
		munmap((void *)(uintptr_t)made, size);
	return r;
}
