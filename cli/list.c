/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpcrypt list: the connections, in the daemon's order. Each is a row of a table,
 * a line with the verdict and, when encrypted, a line with its whole session ID.
 */
#include "command.h"
#include "connection.h"
#include "format.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define INDENT	    "     "
#define BYTES_WIDTH 10
#define TIME_WIDTH  8

/* The widest of each column whose width depends on its contents. */
struct widths {
	int local;
	int peer;
};

static int larger(int a, int b)
{
	return a > b ? a : b;
}

static struct widths measure(const json_t *rows)
{
	struct widths widths = { .local = (int)strlen("LOCAL"), .peer = (int)strlen("PEER") };
	struct connection connection;

	for (size_t i = 0; i < json_array_size(rows); i++) {
		connection_read(json_array_get(rows, i), &connection);
		widths.local = larger(widths.local, format_width(connection.local));
		widths.peer = larger(widths.peer, format_width(connection.peer));
	}
	return widths;
}

static void print_heading(const struct widths *widths)
{
	format_style(FORMAT_HEADING);
	printf("%-3s  %-*s  %-*s%*s%*s%*s  %s", "DIR", widths->local, "LOCAL", widths->peer, "PEER",
	       BYTES_WIDTH, "IN", BYTES_WIDTH, "OUT", TIME_WIDTH, "TIME", "PROGRAM");
	format_style(FORMAT_NORMAL);
	putchar('\n');
}

static void print_row(const struct connection *connection, const struct widths *widths, double now)
{
	char in[FORMAT_MAX];
	char out[FORMAT_MAX];
	char lasted[FORMAT_MAX];
	double seconds = -1;

	/* The clocks that gave the two times may differ by a little. */
	if (connection->started >= 0)
		seconds = (connection->ended >= 0 ? connection->ended : now) - connection->started;
	if (connection->started >= 0 && seconds < 0)
		seconds = 0;
	format_padded(connection->direction, 3);
	fputs("  ", stdout);
	format_padded(connection->local, widths->local);
	fputs("  ", stdout);
	format_padded(connection->peer, widths->peer);
	printf("%*s%*s%*s  ", BYTES_WIDTH, format_size(connection->bytes_in, in), BYTES_WIDTH,
	       format_size(connection->bytes_out, out), TIME_WIDTH,
	       format_duration(seconds, lasted));
	connection_print_program(connection);
	putchar('\n');
}

static void print_connection(const struct connection *connection, const struct widths *widths,
			     double now)
{
	char buffer[FORMAT_MAX];

	print_row(connection, widths, now);
	fputs(INDENT, stdout);
	if (connection->ended >= 0)
		printf("closed %s ago, ",
		       format_duration(now > connection->ended ? now - connection->ended : 0,
				       buffer));
	connection_print_verdict(connection);
	putchar('\n');
	if (!connection->session_id)
		return;
	fputs(INDENT "session ID ", stdout);
	format_session_id(connection->session_id);
	putchar('\n');
}

static void print_list(const json_t *rows)
{
	static const char *const names[] = {
		[CONNECTION_NEGOTIATING] = "negotiating",
		[CONNECTION_ENCRYPTED] = "encrypted",
		[CONNECTION_PLAIN] = "plain",
		[CONNECTION_FAILED] = "failed",
	};
	size_t counts[sizeof(names) / sizeof(names[0])] = { 0 };
	size_t n = json_array_size(rows);
	struct widths widths = measure(rows);
	struct connection connection;
	double now = format_now();
	const char *separator = ": ";

	if (n == 0) {
		puts("No connections.");
		return;
	}
	print_heading(&widths);
	for (size_t i = 0; i < n; i++) {
		connection_read(json_array_get(rows, i), &connection);
		print_connection(&connection, &widths, now);
		counts[connection_verdict(&connection)]++;
	}
	printf("%zu connection%s", n, n == 1 ? "" : "s");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (counts[i] == 0)
			continue;
		printf("%s%zu %s", separator, counts[i], names[i]);
		separator = ", ";
	}
	putchar('\n');
}

/* Prints (--json) or keeps every answer; columns can be measured only when all are there. */
static int receive(const struct command_options *options, struct control *control, json_t *rows)
{
	struct control_line line;
	int error;

	for (;;) {
		error = report_next(options, control, &line);
		if (error)
			return error == CONTROL_END ? 0 : error;
		if (options->json)
			report_line(&line);
		else if (json_array_append(rows, line.object) < 0)
			return report_error(options, "no memory");
	}
}

int list_main(const struct command_options *options, char **arguments)
{
	struct control *control;
	json_t *request;
	json_t *rows;
	int status;
	int error;

	request = json_pack("{s:s, s:b}", "command", "list", "recent", (int)options->recent);
	status = report_request(options, request, &control);
	if (status != COMMAND_DONE)
		return status;
	rows = json_array();
	error = receive(options, control, rows);
	/* Half a list is not passed off as the whole: the error has been reported. */
	if (!error && !options->json)
		print_list(rows);
	json_decref(rows);
	control_free(control);
	return error ? COMMAND_NOT_SO : COMMAND_DONE;
}
