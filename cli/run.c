/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt run: starts a program with the in-process library loaded. */
#include "command.h"
#include "format.h"
#include "inproc.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "inproc/servable.h"

static bool is_program(const char *path)
{
	struct stat st;

	return !access(path, X_OK) && !stat(path, &st) && S_ISREG(st.st_mode);
}

/* As execvp() looks for it: an empty part of PATH is the working directory. */
static bool find(const char *name, char *to, size_t size)
{
	const char *path = getenv("PATH");
	size_t len;

	if (strchr(name, '/'))
		return (size_t)snprintf(to, size, "%s", name) < size;
	for (path = path ? path : "/bin:/usr/bin"; *name; path += len + 1) {
		len = strcspn(path, ":");
		if ((size_t)snprintf(to, size, "%.*s/%s", len ? (int)len : 1, len ? path : ".",
				     name) < size &&
		    is_program(to))
			return true;
		if (!path[len])
			break;
	}
	return false;
}

static int refuse(const char *program, const char *why)
{
	fputs("tcpcrypt: ", stderr);
	format_text(stderr, program);
	fprintf(stderr,
		" cannot encrypt in its own process: %s; tcpcryptd does it for every program\n",
		why);
	return COMMAND_NOT_SO;
}

/* Nothing will be encrypted. May the program be started all the same? */
static bool goes_plain(const struct command_options *options)
{
	const char *how = getenv("TCPCRYPT_INPROC");
	const bool required = options->require || (how && !strcmp(how, "require"));

	fputs(required ? "not started\n" : "connections will be plain\n", stderr);
	return !required;
}

/* Has the program load the library, if that can be. False: it is not to be started. */
static bool load(const struct command_options *options)
{
	const char *why = inproc_library_unfit();

	if (why) {
		fputs("tcpcrypt: cannot load ", stderr);
		format_text(stderr, inproc_library());
		fprintf(stderr, ": %s: ", why);
		return goes_plain(options);
	}
	if (inproc_engine()) {
		fputs("tcpcrypt: no engine here (tcpcryptd, or tcpcryptd --engine-only): ", stderr);
		if (!goes_plain(options))
			return false;
	}
	if (inproc_preload(options->run_dir) &&
	    (!options->require || !setenv("TCPCRYPT_INPROC", "require", 1)))
		return true;
	fputs("tcpcrypt: no room in the environment\n", stderr);
	return false;
}

int run_main(const struct command_options *options, char **arguments)
{
	const char *program = arguments[0], *why;
	char path[4096];

	if (!find(program, path, sizeof(path))) {
		fputs("tcpcrypt: no program ", stderr);
		format_text(stderr, program);
		fputs("\n", stderr);
		return COMMAND_NOT_SO;
	}
	why = servable_reason(path);
	if (why)
		return refuse(program, why);
	if (!load(options))
		return COMMAND_NOT_SO;
	/* As it would be without us: of services systemd has it ignored. */
	if (!options->ignores_pipe)
		signal(SIGPIPE, SIG_DFL);
	execv(path, arguments);
	fprintf(stderr, "tcpcrypt: %s: %s\n", path, strerror(errno));
	return COMMAND_NOT_SO;
}
