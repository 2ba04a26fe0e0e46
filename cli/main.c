/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpcrypt: looks into tcpcryptd. The table of subcommands below drives dispatch,
 * option checking and help.
 */
#include "command.h"
#include "format.h"

#include <fcntl.h>
#include <getopt.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TIMEOUT_MAX_S 3600

/* Instead of a number of arguments: whatever follows is the program's. */
#define A_PROGRAM (-1)

/* How parsing ends besides COMMAND_DONE and COMMAND_USAGE. */
#define HELP_ASKED    (-1)
#define VERSION_ASKED (-2)

static const struct command {
	const char *name;
	int (*main)(const struct command_options *options, char **arguments);
	const char *usage; /* what follows the name */
	int n_arguments;
	const char *options; /* letters of option_table that only some commands know */
	const char *description;
} commands[] = {
	{ "status", status_main, "", 0, "",
	  "whether connections are encrypted, and how many were" },
	{ "list", list_main, "[--recent]", 0, "r", "the connections, each with its session ID" },
	{ "watch", watch_main, "", 0, "", "one line for each connection that begins or ends" },
	{ "verify", verify_main, "HOST PORT [--timeout SECONDS]", 2, "t",
	  "open a connection and prove whether it is encrypted" },
	{ "flush", flush_main, "", 0, "", "forget sessions, and which destinations were plain" },
	{ "doctor", doctor_main, "", 0, "", "what this host lacks, each with the mend" },
	{ "cleanup", cleanup_main, "[--guard]", 0, "g", "remove what a crashed tcpcryptd left" },
	{ "run", run_main, "[--require] [--] PROGRAM [ARGUMENT...]", A_PROGRAM, "q",
	  "start a program that encrypts in its own process" },
	{ "enable", enable_main, "[--require] UNIT", 1, "q", "the same for a systemd unit" },
	{ "disable", disable_main, "UNIT", 1, "", "take that back" },
};

#define N_COMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct option option_table[] = {
	{ "run-dir", required_argument, NULL, 'd' },
	{ "json", no_argument, NULL, 'j' },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ "recent", no_argument, NULL, 'r' },
	{ "timeout", required_argument, NULL, 't' },
	{ "guard", no_argument, NULL, 'g' },
	{ "require", no_argument, NULL, 'q' },
	{ 0 },
};

static void print_usage(FILE *out)
{
	int width = 0;
	int len;

	fputs("usage: tcpcrypt [--run-dir DIR] COMMAND [OPTIONS]\n\ncommands:\n", out);
	for (size_t i = 0; i < N_COMMANDS; i++) {
		len = (int)(strlen(commands[i].name) + strlen(commands[i].usage)) + 1;
		width = len > width ? len : width;
	}
	for (size_t i = 0; i < N_COMMANDS; i++) {
		len = (int)strlen(commands[i].name) + 1;
		fprintf(out, "  %s %-*s  %s\n", commands[i].name, width - len, commands[i].usage,
			commands[i].description);
	}
	fputs("\noptions of every command:\n"
	      "  --run-dir DIR  the run directory of the daemon (" COMMAND_RUN_DIR ")\n"
	      "  --json         the daemon's answer, one JSON object a line\n"
	      "  --help         this text\n"
	      "  --version      the version of this tool\n"
	      "\nexit status: 0 done, 1 not so (not encrypted, not running), 2 usage\n",
	      out);
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < N_COMMANDS; i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int parse_timeout(const char *text, int *ret_ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.001 && seconds <= TIMEOUT_MAX_S)) {
		fprintf(stderr, "tcpcrypt: --timeout takes seconds, at most %d\n", TIMEOUT_MAX_S);
		return COMMAND_USAGE;
	}
	*ret_ms = (int)(seconds * 1000);
	return COMMAND_DONE;
}

static int take_option(int letter, const struct command *command, struct command_options *options)
{
	switch (letter) {
	case 'd':
		options->run_dir = optarg;
		if (*optarg)
			return COMMAND_DONE;
		fputs("tcpcrypt: --run-dir takes a directory\n", stderr);
		return COMMAND_USAGE;
	case 'j':
		options->json = true;
		return COMMAND_DONE;
	case 'h':
		return HELP_ASKED;
	case 'V':
		return VERSION_ASKED;
	case 'r':
	case 't':
	case 'g':
	case 'q':
		if (command && strchr(command->options, letter))
			break;
		fputs("tcpcrypt: ", stderr);
		fputs(command ? command->name : "before the command", stderr);
		fputs(letter == 'r'   ? ": --recent belongs to list\n"
		      : letter == 't' ? ": --timeout belongs to verify\n"
		      : letter == 'g' ? ": --guard belongs to cleanup\n"
				      : ": --require belongs to run and enable\n",
		      stderr);
		return COMMAND_USAGE;
	default:
		return COMMAND_USAGE; /* getopt_long() has said what is wrong */
	}
	if (letter == 't')
		return parse_timeout(optarg, &options->timeout_ms);
	if (letter == 'g')
		options->guard = true;
	else if (letter == 'q')
		options->require = true;
	else
		options->recent = true;
	return COMMAND_DONE;
}

/*
 * Takes the options of argv; command is NULL for those before the command, where the
 * first argument that is not an option ends them. Afterwards optind is the index of
 * the first argument that is left.
 */
static int parse_options(int argc, char **argv, const struct command *command,
			 struct command_options *options)
{
	int letter;
	int status;

	optind = 0; /* makes getopt_long() start afresh */
	while ((letter = getopt_long(argc, argv,
				     command && command->n_arguments != A_PROGRAM ? "" : "+",
				     option_table, NULL)) != -1) {
		status = take_option(letter, command, options);
		if (status != COMMAND_DONE)
			return status;
	}
	return COMMAND_DONE;
}

/* argv[0] is the name of the command. */
static int parse_command(int argc, char **argv, const struct command *command,
			 struct command_options *options)
{
	char name[32];
	int status;

	/* getopt_long() names the program in what it says. */
	snprintf(name, sizeof(name), "tcpcrypt %s", command->name);
	argv[0] = name;
	status = parse_options(argc, argv, command, options);
	argv[0] = NULL;
	if (status != COMMAND_DONE)
		return status;
	if (argc - optind == command->n_arguments ||
	    (command->n_arguments == A_PROGRAM && argc > optind))
		return COMMAND_DONE;
	fprintf(stderr, "usage: %s%s%s\n", name, *command->usage ? " " : "", command->usage);
	return COMMAND_USAGE;
}

static int run(int argc, char **argv, bool ignores_pipe)
{
	struct command_options options = {
		.run_dir = COMMAND_RUN_DIR,
		.ignores_pipe = ignores_pipe,
		.timeout_ms = COMMAND_TIMEOUT_MS,
	};
	const struct command *command;
	int first;
	int status;

	status = parse_options(argc, argv, NULL, &options);
	if (status != COMMAND_DONE)
		return status;
	first = optind;
	if (first == argc) {
		print_usage(stderr);
		return COMMAND_USAGE;
	}
	command = find_command(argv[first]);
	if (!command) {
		fputs("tcpcrypt: no command ", stderr);
		format_text(stderr, argv[first]);
		fputs("; see tcpcrypt --help\n", stderr);
		return COMMAND_USAGE;
	}
	status = parse_command(argc - first, argv + first, command, &options);
	if (status != COMMAND_DONE)
		return status;
	return command->main(&options, argv + first + optind);
}

/*
 * Standard input, output and error must be open: else a socket would get the number
 * of one of them, and what is printed would go to the daemon or, worse, to a host.
 */
static void fill_standard_files(void)
{
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* A reader that has seen enough is not an error; a full disk is. */
static int finish_output(int status)
{
	struct pollfd output = { .fd = STDOUT_FILENO };

	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	/* errno may be long lost: stdio writes when it likes. A pipe without reader tells. */
	if (poll(&output, 1, 0) > 0 && output.revents & (POLLERR | POLLHUP))
		return status;
	fputs("tcpcrypt: cannot write the output\n", stderr);
	return COMMAND_NOT_SO;
}

int main(int argc, char **argv)
{
	bool ignores_pipe;
	int status;

	fill_standard_files();
	setlocale(LC_CTYPE, "");
	ignores_pipe = signal(SIGPIPE, SIG_IGN) == SIG_IGN;
	format_init();

	status = run(argc, argv, ignores_pipe);
	if (status == HELP_ASKED) {
		print_usage(stdout);
		status = COMMAND_DONE;
	} else if (status == VERSION_ASKED) {
		puts("tcpcrypt " TCPCRYPT_VERSION);
		status = COMMAND_DONE;
	}
	return finish_output(status);
}
