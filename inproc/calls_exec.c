// SPDX-License-Identifier: BSD-2-Clause
/*
 * A new program takes the place of this one. Connections that it inherits go on there (image.h), if it
 * can have this library; others end here, as far as this process is concerned: who else has them
 * must know, or nobody would send FINp. Listeners live on. So that there is somebody who can read
 * connections and what listeners accept, the new program gets this library even when its environment
 * was made anew, as nginx does to upgrade.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/image.h"
#include "inproc/next.h"
#include "inproc/report.h"
#include "inproc/servable.h"

#define PRELOAD "LD_PRELOAD="
#define KEPT	8

/* As they were when this program began: LD_PRELOAD, and what `tcpcrypt run` says. */
static const char *kept[KEPT];
static size_t n_kept;

static bool is_preload(const char *entry)
{
	return !strncmp(entry, PRELOAD, strlen(PRELOAD));
}

static bool is_image(const char *entry)
{
	return !strncmp(entry, IMAGE_VARIABLE, strlen(IMAGE_VARIABLE));
}

static bool is_kept(const char *entry)
{
	return is_preload(entry) || (!strncmp(entry, "TCPCRYPT_", 9) && !is_image(entry));
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

/* The program's own choice of libraries. */
static const char *preload_of(char *const envp[])
{
	for (size_t i = 0; envp && envp[i]; i++)
		if (is_preload(envp[i]))
			return envp[i];
	return NULL;
}

char *const *calls_environment(char *const envp[], char *image, size_t *ret_size)
{
	const bool adds = !preload_of(envp) && n_kept && (image || passes_listener());
	char **made;
	size_t n = 0, at = 0;

	*ret_size = 0;
	if (!adds && !image)
		return envp;
	while (envp && envp[n])
		n++;
	*ret_size = (n + n_kept + 2) * sizeof(*made);
	made = mmap(NULL, *ret_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (made == MAP_FAILED) {
		*ret_size = 0;
		return envp;
	}
	for (size_t i = 0; i < n; i++)
		if (!(adds && is_kept(envp[i])) && !(image && is_image(envp[i])))
			made[at++] = envp[i];
	for (size_t i = 0; adds && i < n_kept; i++)
		made[at++] = (char *)(uintptr_t)kept[i];
	if (image)
		made[at++] = image;
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

/* Where it is to be looked at, as far as one place is known. */
static const char *place_of(const struct target *t, char *to, size_t size)
{
	const char *path = getenv("PATH");
	size_t len;

	if (t->call == call_fd || (t->call == call_at && t->flags & AT_EMPTY_PATH && !*t->path)) {
		snprintf(to, size, "/proc/self/fd/%d", t->fd);
		return to;
	}
	if (t->call == call_at && *t->path != '/' && t->fd != AT_FDCWD) {
		snprintf(to, size, "/proc/self/fd/%d/%s", t->fd, t->path);
		return to;
	}
	if (t->call != call_search || strchr(t->path, '/'))
		return t->path;
	for (path = path ? path : "/bin:/usr/bin"; *path; path += len + (path[len] == ':')) {
		len = strcspn(path, ":");
		if ((size_t)snprintf(to, size, "%.*s/%s", (int)len, path, t->path) < size &&
		    !access(to, X_OK))
			return to;
	}
	return t->path;
}

/* Will the new program have this library? Should it turn out otherwise, then no harm is done but to
 * the connections: see handover.h. */
static bool is_servable(const struct target *t, char *const envp[])
{
	const char *preload = preload_of(envp);
	char path[PATH_MAX];
	Dl_info own;

	/* Whose caller is somebody else loads none, for the kernel. */
	if (geteuid() != getuid() || getegid() != getgid())
		return false;
	if (!dladdr(kept, &own) || access(own.dli_fname, R_OK) ||
	    (preload && !strstr(preload, own.dli_fname)))
		return false;
	return !servable_reason(place_of(t, path, sizeof(path)));
}

/* The program's references go, or are left. */
static int leave(const struct target *t, char *const envp[], struct image *image)
{
	int r;

	if (!table_is_own()) {
		table_settle();
		table_replacing();
		return 0;
	}
	/* The helper thread goes, and with it what it has not sent yet. */
	helper_finish();
	r = atomic_load(&table_end) ? image_leave(image, is_servable(t, envp)) : 0;
	if (r)
		return r;
	table_replacing();
	report_finish();
	return 0;
}

static int replace(const struct target *t, char *const argv[], char *const envp[])
{
	const bool leaves = may_exist(t);
	struct image image = {};
	char *const *made;
	size_t size;
	int r, saved;

	calls_send_held();
	r = leaves ? leave(t, envp, &image) : 0;
	if (r)
		return calls_result(r);
	made = calls_environment(envp, image.variable, &size);
	r = t->call(t, argv, made);
	saved = errno;
	if (leaves) {
		table_not_replaced();
		image_return(&image);
	}
	if (size)
		munmap((void *)(uintptr_t)made, size);
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
