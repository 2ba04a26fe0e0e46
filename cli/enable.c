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

/* What systemd takes in the name of a unit. */
#define CHARACTERS                   \
	"abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ" \
	"0123456789:-_.\\@"

static int failed(const char *what)
{
	const int error = errno;

	fputs("tcpcrypt: ", stderr);
	format_text(stderr, what);
	fprintf(stderr, ": %s\n", strerror(error));
	return COMMAND_NOT_SO;
}

static bool ends_in(const char *name, const char *suffix)
{
	const size_t len = strlen(name), tail = strlen(suffix);

	return len > tail && !strcmp(name + len - tail, suffix);
}

/* Units of other types read no [Service] section. */
static bool is_other_type(const char *unit)
{
	static const char *const types[] = {
		".automount", ".device", ".mount", ".path",   ".scope",
		".slice",     ".socket", ".swap",  ".target", ".timer",
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (ends_in(unit, types[i]))
			return true;
	}
	return false;
}

/* As for systemctl, a name may have dots and still lack its type. */
static const char *suffix_of(const char *unit)
{
	return ends_in(unit, ".service") ? "" : ".service";
}

/* A service's drop-in folder; TCPCRYPT_UNITS is for tests. */
static bool folder_of(const char *unit, char *to, size_t size)
{
	const char *root = getenv("TCPCRYPT_UNITS");

	if (!*unit || *unit == '-' || unit[strspn(unit, CHARACTERS)] || is_other_type(unit))
		return false;
	return (size_t)snprintf(to, size, "%s/%s%s.d", root ? root : UNITS, unit, suffix_of(unit)) <
	       size;
}

/* Has directory the service, or the template that it is an instance of? */
static bool is_in(const char *directory, const char *unit)
{
	const char *at = strchr(unit, '@');
	char path[1024];

	snprintf(path, sizeof(path), "%s/%s%s", directory, unit, suffix_of(unit));
	if (!access(path, F_OK))
		return true;
	if (!at)
		return false;
	snprintf(path, sizeof(path), "%s/%.*s@.service", directory, (int)(at - unit), unit);
	return !access(path, F_OK);
}

/* Where systemd looks: its manager need not run, nor be there. */
static bool is_known(const char *unit)
{
	static const char *const directories[] = {
		"/etc/systemd/system.control", "/run/systemd/system.control",
		"/run/systemd/transient",      "/run/systemd/generator.early",
		"/etc/systemd/system",	       "/etc/systemd/system.attached",
		"/run/systemd/system",	       "/run/systemd/system.attached",
		"/run/systemd/generator",      "/usr/local/lib/systemd/system",
		"/usr/lib/systemd/system",     "/lib/systemd/system",
		"/run/systemd/generator.late",
	};
	const char *root = getenv("TCPCRYPT_UNITS");

	if (root)
		return is_in(root, unit);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		if (is_in(directories[i], unit))
			return true;
	}
	return false;
}

/* In quotes, and with what systemd would read something else in escaped. */
static void put_variable(FILE *file, const char *name, const char *value)
{
	fprintf(file, "Environment=\"%s=", name);
	for (; *value; value++) {
		if ((unsigned char)*value < ' ') {
			fprintf(file, "\\x%02x", *value);
			continue;
		}
		if (*value == '%')
			fputc('%', file);
		if (*value == '"' || *value == '\\')
			fputc('\\', file);
		fputc(*value, file);
	}
	fputs("\"\n", file);
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
	fputs("tcpcrypt: no name of a service: ", stderr);
	format_text(stderr, unit);
	fputs("\n", stderr);
	return COMMAND_USAGE;
}

/* The service would start without it, whatever it requires. */
static int unfit(const char *why)
{
	fputs("tcpcrypt: cannot load ", stderr);
	format_text(stderr, inproc_library());
	fprintf(stderr, ": %s\n", why);
	return COMMAND_NOT_SO;
}

int enable_main(const struct command_options *options, char **arguments)
{
	const char *why = inproc_library_unfit();
	char folder[512], path[600];
	FILE *file;

	if (!folder_of(arguments[0], folder, sizeof(folder)))
		return usage(arguments[0]);
	if (why)
		return unfit(why);
	if (*options->run_dir != '/') {
		fputs("tcpcrypt: a service needs the whole path of --run-dir\n", stderr);
		return COMMAND_USAGE;
	}
	if (mkdir(folder, 0755) && errno != EEXIST)
		return failed(folder);
	snprintf(path, sizeof(path), "%s/%s", folder, DROP_IN);
	file = fopen(path, "we");
	if (!file)
		return failed(path);
	fputs("# Written by `tcpcrypt enable`; `tcpcrypt disable` removes it.\n"
	      "[Unit]\nAfter=tcpcryptd.service\n\n"
	      "[Service]\n",
	      file);
	put_variable(file, "LD_PRELOAD", inproc_library());
	put_variable(file, "TCPCRYPT_RUN_DIR", options->run_dir);
	if (options->require)
		put_variable(file, "TCPCRYPT_INPROC", "require");
	if (fclose(file))
		return failed(path);
	printf("%s: from its next start on it encrypts in its own process\n", arguments[0]);
	/* It may be installed later. */
	if (!is_known(arguments[0]))
		fprintf(stderr, "tcpcrypt: there is no service %s here yet\n", arguments[0]);
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
