/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpcrypt watch: one line an event until a signal, or until nobody reads them.
 */
#include "command.h"
#include "connection.h"
#include "format.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EVENT_WIDTH 11

/*
 * SIGINT and SIGTERM are taken in while waiting only, so that they never cut a line.
 * They end the command through the file descriptor returned; negative errno.
 */
static int hold_signals(void)
{
	sigset_t held;
	int fd;

	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	sigprocmask(SIG_BLOCK, &held, NULL);
	fd = signalfd(-1, &held, SFD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void print_end(const struct connection *connection)
{
	char in[FORMAT_MAX];
	char out[FORMAT_MAX];
	char lasted[FORMAT_MAX];
	double seconds = -1;

	if (connection->started >= 0 && connection->ended >= connection->started)
		seconds = connection->ended - connection->started;
	printf("in %s, out %s, after %s", format_size(connection->bytes_in, in),
	       format_size(connection->bytes_out, out), format_duration(seconds, lasted));
	if (!connection->encrypted || connection->reason) {
		fputs(", ", stdout);
		connection_print_verdict(connection);
	}
}

static void print_event_name(const char *event)
{
	enum format_style style = FORMAT_NORMAL;

	if (strcmp(event, "established") == 0)
		style = FORMAT_GOOD;
	else if (strcmp(event, "plain") == 0)
		style = FORMAT_ATTENTION;
	else if (strcmp(event, "failed") == 0)
		style = FORMAT_BAD;
	format_style(style);
	format_padded(event, EVENT_WIDTH);
	format_style(FORMAT_NORMAL);
	putchar(' ');
}

static void print_addresses(const struct connection *connection)
{
	format_padded(connection->direction, 3);
	putchar(' ');
	format_text(stdout, connection->local);
	fputs(strcmp(connection->direction, "in") == 0 ? " <- " : " -> ", stdout);
	format_text(stdout, connection->peer);
	fputs("  ", stdout);
}

static void print_event(const json_t *object)
{
	const char *event = json_string_value(json_object_get(object, "event"));
	const json_t *time = json_object_get(object, "time");
	struct connection connection;
	char buffer[FORMAT_MAX];

	printf("%s  ", format_time(json_is_number(time) ? json_number_value(time) : -1, buffer));
	if (!event)
		event = "-";
	print_event_name(event);
	if (strcmp(event, "watching") == 0) {
		puts("events from here on");
		return;
	}
	connection_read(object, &connection);
	print_addresses(&connection);
	if (strcmp(event, "closed") == 0)
		print_end(&connection);
	else
		connection_print_details(&connection);
	if (connection.comm || connection.pid >= 0) {
		fputs("  ", stdout);
		connection_print_program(&connection);
	}
	if (connection.session_id && strcmp(event, "established") == 0) {
		fputs("  session ID ", stdout);
		format_session_id(connection.session_id);
	}
	putchar('\n');
}

static int follow(const struct command_options *options, struct control *control)
{
	struct control_line line;
	int outcome;

	for (;;) {
		outcome = report_next(options, control, &line);
		if (outcome == CONTROL_END)
			return report_error(options, "tcpcryptd has stopped");
		if (outcome < 0)
			return COMMAND_NOT_SO;
		if (outcome)
			return COMMAND_DONE; /* a signal, or no reader */
		if (options->json)
			report_line(&line);
		else
			print_event(line.object);
		/* main() says what kept standard output from being written. */
		if (fflush(stdout) == EOF)
			return COMMAND_DONE;
	}
}

int watch_main(const struct command_options *options, char **arguments)
{
	struct control *control;
	int signal_fd;
	int status;

	status = report_request(options, json_pack("{s:s}", "command", "watch"), &control);
	if (status != COMMAND_DONE)
		return status;
	signal_fd = hold_signals();
	if (signal_fd < 0) {
		control_free(control);
		return report_error(options, "cannot wait for signals: %s", strerror(-signal_fd));
	}
	control_watch(control, signal_fd, STDOUT_FILENO);
	status = follow(options, control);
	close(signal_fd);
	control_free(control);
	return status;
}
