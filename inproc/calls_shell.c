// SPDX-License-Identifier: BSD-2-Clause
/*
 * Commands for a shell: the C library starts it by its own posix_spawn(), which nobody stands in front
 * of. In a process that has had connections they are the same here, by the one in calls_spawn.c.
 */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/next.h"

#define SHELL  "/bin/sh"
#define FAILED (127 << 8) /* what waitpid() says of a shell that could not be started */

static int shell_start(pid_t *pid, const char *command, const posix_spawn_file_actions_t *actions,
		       const posix_spawnattr_t *attributes)
{
	const char *const argv[] = { "sh", "-c", "--", command, NULL };

	return posix_spawn(pid, SHELL, actions, attributes, (char *const *)(uintptr_t)argv,
			   environ);
}

int calls_shell_wait(pid_t pid)
{
	int status = -1;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -1;
	return status;
}

/* ---- system() ---- */

/* While there is a shell the process does not end by the keys that end the shell. */
static struct {
	pthread_mutex_t lock;
	unsigned int shells;
	struct sigaction interrupt, quit;
} ignoring = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct shell {
	pid_t pid;
	sigset_t mask; /* the caller's */
};

static void signals_begin(struct shell *shell)
{
	const struct sigaction ignore = { .sa_handler = SIG_IGN };
	sigset_t child;

	pthread_mutex_lock(&ignoring.lock);
	if (!ignoring.shells++) {
		next()->sigaction(SIGINT, &ignore, &ignoring.interrupt);
		next()->sigaction(SIGQUIT, &ignore, &ignoring.quit);
	}
	pthread_mutex_unlock(&ignoring.lock);
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &child, &shell->mask);
}

static void signals_end(const struct shell *shell)
{
	const int saved = errno;

	pthread_mutex_lock(&ignoring.lock);
	if (!--ignoring.shells) {
		next()->sigaction(SIGINT, &ignoring.interrupt, NULL);
		next()->sigaction(SIGQUIT, &ignoring.quit, NULL);
	}
	pthread_mutex_unlock(&ignoring.lock);
	pthread_sigmask(SIG_SETMASK, &shell->mask, NULL);
	errno = saved;
}

/* What the shell has of the signals is what the program had. (These cannot fail.) */
static void attributes_make(posix_spawnattr_t *attributes, const struct shell *shell)
{
	sigset_t handled;

	sigemptyset(&handled);
	if (ignoring.interrupt.sa_handler != SIG_IGN)
		sigaddset(&handled, SIGINT);
	if (ignoring.quit.sa_handler != SIG_IGN)
		sigaddset(&handled, SIGQUIT);
	posix_spawnattr_init(attributes);
	posix_spawnattr_setsigdefault(attributes, &handled);
	posix_spawnattr_setsigmask(attributes, &shell->mask);
	posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

/* The thread is cancelled while it waits. */
static void cancelled(void *data)
{
	const struct shell *shell = data;

	kill(shell->pid, SIGKILL);
	calls_shell_wait(shell->pid);
	signals_end(shell);
}

static int wait_cancellably(struct shell *shell)
{
	int status;

	pthread_cleanup_push(cancelled, shell);
	status = calls_shell_wait(shell->pid);
	pthread_cleanup_pop(0);
	return status;
}

static int run(const char *command)
{
	posix_spawnattr_t attributes;
	struct shell shell;
	int r, status = FAILED;

	signals_begin(&shell);
	attributes_make(&attributes, &shell);
	r = shell_start(&shell.pid, command, NULL, &attributes);
	posix_spawnattr_destroy(&attributes);
	if (!r)
		status = wait_cancellably(&shell);
	signals_end(&shell);
	if (r)
		errno = r;
	return status;
}

CALL int system(const char *command)
{
	if (!atomic_load(&table_end))
		return next()->system(command);
	return command ? run(command) : !run("exit 0");
}

/* ---- popen() ---- */

/* The program's ends of pipes: other shells shall not have them. Here, because the C library knows only
 * its own; as the files that they were, for nobody says when they are closed. */
struct end {
	struct end *next;
	int fd;
	dev_t dev;
	ino_t ino;
};

static pthread_mutex_t ends_lock = PTHREAD_MUTEX_INITIALIZER;
static struct end *ends;

static bool is_open(const struct end *e)
{
	struct stat st;

	return !fstat(e->fd, &st) && st.st_dev == e->dev && st.st_ino == e->ino;
}

/* With the lock. */
static void ends_forget(void)
{
	struct end **at = &ends;

	while (*at) {
		struct end *e = *at;

		if (is_open(e)) {
			at = &e->next;
		} else {
			*at = e->next;
			free(e);
		}
	}
}

static void end_add(int fd)
{
	struct end *e = malloc(sizeof(*e));
	struct stat st;

	if (!e || fstat(fd, &st)) {
		free(e);
		return;
	}
	*e = (struct end){ .fd = fd, .dev = st.st_dev, .ino = st.st_ino };
	pthread_mutex_lock(&ends_lock);
	ends_forget();
	e->next = ends;
	ends = e;
	pthread_mutex_unlock(&ends_lock);
}

/* Actions that close all that there are. */
static int ends_close(posix_spawn_file_actions_t *actions)
{
	int r = 0;

	pthread_mutex_lock(&ends_lock);
	ends_forget();
	for (const struct end *e = ends; e && !r; e = e->next)
		r = posix_spawn_file_actions_addclose(actions, e->fd);
	pthread_mutex_unlock(&ends_lock);
	return r;
}

struct mode {
	bool reads, writes, closes; /* closes: with execve() */
};

static bool mode_read(const char *text, struct mode *ret)
{
	*ret = (struct mode){};
	for (; *text; text++) {
		if (!strchr("rwe", *text))
			return false;
		ret->reads |= *text == 'r';
		ret->writes |= *text == 'w';
		ret->closes |= *text == 'e';
	}
	return ret->reads != ret->writes;
}

/* given: the shell's end, which becomes its standard input or output. */
static int shell_on_pipe(pid_t *pid, const char *command, int given, int standard)
{
	posix_spawn_file_actions_t actions;
	int r = posix_spawn_file_actions_init(&actions);

	if (r)
		return r;
	r = ends_close(&actions);
	if (!r)
		r = posix_spawn_file_actions_adddup2(&actions, given, standard);
	if (!r)
		r = shell_start(pid, command, &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	return r;
}

static FILE *stream_on_shell(const char *command, const struct mode *mode)
{
	const int own = mode->writes, given = !own;
	FILE *file = NULL;
	int fds[2], r;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return NULL;
	calls_new(fds[own]);
	calls_new(fds[given]);
	r = shell_on_pipe(&pid, command, fds[given], mode->reads ? STDOUT_FILENO : STDIN_FILENO);
	next()->close(fds[given]);
	if (!r)
		file = calls_stream_on(fds[own], mode->reads ? "r" : "w", pid);
	if (!r && !file) {
		kill(pid, SIGTERM);
		calls_shell_wait(pid);
		r = ENOMEM;
	}
	if (r) {
		next()->close(fds[own]);
		errno = r;
		return NULL;
	}
	end_add(fds[own]);
	if (!mode->closes)
		next()->fcntl(fds[own], F_SETFD, 0);
	return file;
}

CALL FILE *popen(const char *command, const char *text)
{
	struct mode mode;
	FILE *file;

	if (!atomic_load(&table_end)) {
		file = next()->popen(command, text);
		if (file)
			end_add(fileno(file));
		return file;
	}
	if (mode_read(text, &mode))
		return stream_on_shell(command, &mode);
	errno = EINVAL;
	return NULL;
}
