/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpcrypt verify: opens an ordinary connection, which the daemon takes like any
 * other, and has the daemon prove that the far end holds the same session secrets.
 * Where it takes none (--engine-only), verify_inproc.h.
 */
#include "command.h"
#include "connection.h"
#include "deadline.h"
#include "format.h"
#include "probe.h"
#include "reason.h"
#include "report.h"
#include "verify_inproc.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tcpcrypt/tcp_eno.h>

/*
 * The daemon lists a connection a moment after connect() returned at most; a plain
 * one that went around the daemon it never lists.
 */
#define ASK_TIMES    6
#define ASK_PAUSE_US 100000

#define LABEL_WIDTH 12

#define VERIFY_INPROC -1

static const char not_listed[] =
	"plain: tcpcryptd does not handle this connection; its port or a rule says to leave it "
	"alone, it stays on this host, the destination is remembered as plain, or tcpcryptd is at "
	"its limits";

/* What is so about the connection although there is no answer to print. */
static int report_plain(const struct command_options *options, const struct probe *probe,
			const char *why)
{
	if (!options->json)
		return report_error(options, "%s is connected (from %s), but %s", probe->peer,
				    probe->local, why);
	report_json(json_pack("{s:b, s:s, s:s, s:s}", "encrypted", 0, "local", probe->local, "peer",
			      probe->peer, "error", why));
	return COMMAND_NOT_SO;
}

static int report_no_connection(const struct command_options *options, const char *host,
				const char *port, const struct probe *probe, int error)
{
	if (error != PROBE_UNRESOLVED)
		return report_error(options, "cannot connect to %s port %s: %s", host, port,
				    strerror(-error));
	return report_error(options, "cannot resolve %s port %s: %s", host, port,
			    probe->gai_error == EAI_SYSTEM ? strerror(errno)
							   : gai_strerror(probe->gai_error));
}

static int report_no_answer(const struct command_options *options, const struct probe *probe,
			    int error)
{
	char words[REPORT_MAX];
	char why[REPORT_MAX + 64];

	if (error == CONTROL_END)
		return report_plain(options, probe,
				    "tcpcryptd closed the connection without an answer");
	report_explain(options, error, words);
	snprintf(why, sizeof(why), "%s%s",
		 control_is_absent(error) ? "plain as far as can be told: " : "", words);
	return report_plain(options, probe, why);
}

static void print_label(const char *label)
{
	fputs("  ", stdout);
	format_padded(label, LABEL_WIDTH);
}

static void print_confirmation(const json_t *answer, bool confirmed)
{
	const json_t *ms = json_object_get(answer, "round_trip_ms");

	print_label("far end");
	format_style(confirmed ? FORMAT_GOOD : FORMAT_BAD);
	fputs(confirmed ? "confirmed" : "not confirmed", stdout);
	format_style(FORMAT_NORMAL);
	if (!confirmed)
		puts(": it did not prove that it holds the keys of this session");
	else if (json_is_number(ms))
		printf(" that it holds the keys of this session, in %.1f ms\n",
		       json_number_value(ms));
	else
		puts(" that it holds the keys of this session");
}

static void print_advice(const struct connection *connection)
{
	puts("\nThis does not exclude a man in the middle: he is excluded only when both ends\n"
	     "compare the session ID and find it equal. On the far host, see it with\n"
	     "`tcpcrypt list --recent`, at the connection from this one:");
	fputs("  ", stdout);
	format_text(stdout, connection->local);
	puts("  (behind address translation it shows there as another address)");
}

/* 0 only for a connection that is encrypted and proven to be. */
static int print_answer(const json_t *answer)
{
	bool confirmed = json_is_true(json_object_get(answer, "peer_confirmed"));
	struct connection connection;

	connection_read(answer, &connection);
	format_text(stdout, connection.local);
	fputs(" -> ", stdout);
	format_text(stdout, connection.peer);
	fputs(" is ", stdout);
	connection_print_verdict(&connection);
	putchar('\n');
	if (!connection.encrypted)
		return COMMAND_NOT_SO;
	print_confirmation(answer, confirmed);
	print_label("session ID");
	format_session_id(connection.session_id ? connection.session_id : "-");
	putchar('\n');
	if (confirmed)
		print_advice(&connection);
	return confirmed ? COMMAND_DONE : COMMAND_NOT_SO;
}

/* A connection that the daemon does not know of; any other error is to be shown. */
static bool is_not_found(const json_t *answer)
{
	const char *text = json_string_value(json_object_get(answer, "error"));

	return text && strcasestr(text, "not found");
}

/* Asks once. The answer belongs to the control connection, which the caller frees. */
static int ask(const struct command_options *options, const struct probe *probe, int64_t deadline,
	       struct control **ret_control, struct control_line *ret)
{
	struct control *control;
	int error;

	error = control_open(options->run_dir, deadline, &control);
	if (error)
		return error;
	error = control_send(control, json_pack("{s:s, s:s, s:s}", "command", "verify", "local",
						probe->local, "peer", probe->peer));
	if (!error)
		error = control_next(control, ret);
	if (error) {
		control_free(control);
		return error;
	}
	*ret_control = control;
	return 0;
}

/* The options of its SYN and the SYN-ACK decided, and the socket knows how. */
static const char *const by_options[] = {
	[TCP_ENO_REASON_NO_OPTION] = "no-eno",
	[TCP_ENO_REASON_ILL_FORMED] = "ill-formed",
	[TCP_ENO_REASON_VACUOUS] = "vacuous",
	[TCP_ENO_REASON_ROLE_CONFLICT] = "role-conflict",
	[TCP_ENO_REASON_NO_COMMON_TEP] = "no-common-tep",
	[TCP_ENO_REASON_NO_ACK] = "ack-without-eno",
	[TCP_ENO_REASON_SYN_RETRIES] = "syn-retries",
};

/* Why the daemon does not know a connection. */
static int report_not_found(const struct command_options *options, const struct probe *probe)
{
	const int state = probe_state(probe);
	const size_t reason = TCP_ENO_STATE_REASON(state);
	char why[REPORT_MAX];

	if (state < 0 || TCP_ENO_STATE_PHASE(state) != TCP_ENO_DISABLED ||
	    reason >= sizeof(by_options) / sizeof(by_options[0]) || !by_options[reason])
		return report_plain(options, probe, not_listed);
	snprintf(why, sizeof(why), "plain: %s", reason_words(by_options[reason]));
	return report_plain(options, probe, why);
}

static int show(const struct command_options *options, const struct probe *probe,
		const struct control_line *line)
{
	const json_t *error = json_object_get(line->object, "error");
	bool proven = json_is_true(json_object_get(line->object, "encrypted")) &&
		      json_is_true(json_object_get(line->object, "peer_confirmed"));

	if (error && is_not_found(line->object))
		return report_not_found(options, probe);
	if (options->json) {
		report_line(line);
		return proven && !error ? COMMAND_DONE : COMMAND_NOT_SO;
	}
	if (!error)
		return print_answer(line->object);
	return report_error(options, "tcpcryptd answers: %s",
			    json_is_string(error) ? json_string_value(error) : "an error");
}

/* Its keys are being agreed on, or the daemon is about to hear of them. */
static bool is_on_its_way(const struct probe *probe)
{
	const int state = probe_state(probe);

	return state == TCP_ENO_NEGOTIATING || state == TCP_ENO_ENCRYPTING;
}

static bool is_left_alone(const struct probe *probe)
{
	return probe_state(probe) == (TCP_ENO_DISABLED | TCP_ENO_REASON_LEFT_ALONE << 8);
}

/* VERIFY_INPROC: nobody but this process itself would encrypt the connection. */
static int ask_and_show(const struct command_options *options, const struct probe *probe,
			int64_t deadline)
{
	struct control *control;
	struct control_line line;
	int status;
	int error;

	for (int asked = 1;; asked++) {
		error = ask(options, probe, deadline, &control, &line);
		if (error)
			return report_no_answer(options, probe, error);
		if (!is_not_found(line.object) || deadline_left(deadline) == 0 ||
		    (asked >= ASK_TIMES && !is_on_its_way(probe)))
			break;
		control_free(control);
		if (asked == 1 && is_left_alone(probe) && verify_wants_inproc(options, deadline))
			return VERIFY_INPROC;
		usleep(ASK_PAUSE_US);
	}
	status = show(options, probe, &line);
	control_free(control);
	return status;
}

/* getaddrinfo() takes 65616 for 80. A name goes through to it. */
static bool is_port(const char *text)
{
	size_t len = strlen(text);

	if (strspn(text, "0123456789") != len)
		return true;
	return len > 0 && len <= 5 && atoi(text) > 0 && atoi(text) <= 65535;
}

int verify_main(const struct command_options *options, char **arguments)
{
	int64_t deadline = deadline_after(options->timeout_ms);
	struct probe probe;
	int status;
	int error;

	if (!is_port(arguments[1])) {
		fputs("tcpcrypt verify: a port is a number from 1 to 65535 or a name\n", stderr);
		return COMMAND_USAGE;
	}
	error = probe_open(arguments[0], arguments[1], deadline, &probe);
	if (error)
		return report_no_connection(options, arguments[0], arguments[1], &probe, error);
	status = ask_and_show(options, &probe, deadline);
	probe_close(&probe);
	return status == VERIFY_INPROC ? verify_again_inproc(options, arguments, deadline) : status;
}
