/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt enable, disable: the in-process library in a systemd unit, by a drop-in. */
#include "command.h"
#include "format.h"
#include "inproc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define UNITS	"/etc/systemd/system"
#define DROP_IN "50-tcpcrypt.conf"

static int failed(const char *what)
{
	fprintf(stderr, "tcpcrypt: %s: %s\n", what, strerror(errno));
	return COMMAND_NOT_SO;
}

/* A service's drop-in folder; TCPCRYPT_UNITS is for tests. */
static bool folder_of(const char *unit, char *to, size_t size)
{
	const char *root = getenv("TCPCRYPT_UNITS");
	const char *suffix = strchr(unit, '.') ? "" : ".service";

	if (!*unit || *unit == '-' || strchr(unit, '/'))
		return false;
	return (size_t)snprintf(to, size, "%s/%s%s.d", root ? root : UNITS, unit, suffix) < size;
}

static int reload(void)
{
	pid_t pid;
	int status;

	if (getenv("TCPCRYPT_UNITS"))
		return COMMAND_DONE;
	pid = fork();
	if (!pid) {
		execlp("systemctl", "systemctl", "daemon-reload", NULL);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return failed("systemctl");
	if (status) {
		fputs("tcpcrypt: systemctl daemon-reload failed\n", stderr);
		return COMMAND_NOT_SO;
	}
	return COMMAND_DONE;
}

static int usage(const char *unit)
{
	fputs("tcpcrypt: no name of a unit: ", stderr);
	format_text(stderr, unit);
	fputs("\n", stderr);
	return COMMAND_USAGE;
}

int enable_main(const struct command_options *options, char **arguments)
{
	char folder[512], path[600];
	FILE *file;

	if (!folder_of(arguments[0], folder, sizeof(folder)))
		return usage(arguments[0]);
	if (mkdir(folder, 0755) && errno != EEXIST)
		return failed(folder);
	snprintf(path, sizeof(path), "%s/%s", folder, DROP_IN);
	file = fopen(path, "we");
	if (!file)
		return failed(path);
	fprintf(file,
		"# Written by `tcpcrypt enable`; `tcpcrypt disable` removes it.\n"
		"[Unit]\nAfter=tcpcryptd.service\n\n"
		"[Service]\nEnvironment=LD_PRELOAD=%s\nEnvironment=TCPCRYPT_RUN_DIR=%s\n",
		inproc_library(), options->run_dir);
	if (options->require)
		fputs("Environment=TCPCRYPT_INPROC=require\n", file);
	if (fclose(file))
		return failed(path);
	printf("%s: from its next start on it encrypts in its own process\n", arguments[0]);
	return reload();
}

int disable_main(const struct command_options *options, char **arguments)
{
	char folder[512], path[600];

	if (!folder_of(arguments[0], folder, sizeof(folder)))
		return usage(arguments[0]);
	snprintf(path, sizeof(path), "%s/%s", folder, DROP_IN);
	if (unlink(path))
		return failed(path);
	rmdir(folder); /* others may have theirs in it */
	return reload();
}
