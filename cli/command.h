/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What main.c and the subcommands agree on. Every subcommand is one function
 * <name>_main() in <name>.c; main.c has the one table of them, has parsed the
 * options before it calls, and hands on only the arguments that are left.
 */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include <stdbool.h>

#define COMMAND_RUN_DIR	   "/run/tcpcrypt"
#define COMMAND_TIMEOUT_MS 10000

/* The exit status of the tool, which is what every <name>_main() returns. */
enum command_status {
	COMMAND_DONE = 0,
	COMMAND_NOT_SO = 1, /* the thing asked for is not so; it has been said why */
	COMMAND_USAGE = 2,
};

struct command_options {
	const char *run_dir;
	bool json;
	bool recent;	   /* list */
	bool guard;	   /* cleanup */
	bool require;	   /* run, enable */
	bool ignores_pipe; /* run: SIGPIPE was, before the tool did */
	int timeout_ms;	   /* verify; for others how long the daemon may take to answer */
};

int status_main(const struct command_options *options, char **arguments);
int list_main(const struct command_options *options, char **arguments);
int watch_main(const struct command_options *options, char **arguments);
int verify_main(const struct command_options *options, char **arguments);
int doctor_main(const struct command_options *options, char **arguments);
int cleanup_main(const struct command_options *options, char **arguments);
int flush_main(const struct command_options *options, char **arguments);
int run_main(const struct command_options *options, char **arguments);
int enable_main(const struct command_options *options, char **arguments);
int disable_main(const struct command_options *options, char **arguments);

#endif
