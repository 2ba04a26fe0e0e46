/* SPDX-License-Identifier: BSD-2-Clause */
#include "connection.h"

#include "format.h"
#include "reason.h"

#include <inttypes.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *key, const char *otherwise)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : otherwise;
}

static int64_t count_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_integer(value) ? json_integer_value(value) : -1;
}

static double seconds_of(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_number(value) ? json_number_value(value) : -1;
}

void connection_read(const json_t *object, struct connection *ret)
{
	*ret = (struct connection){
		.direction = text_of(object, "direction", "-"),
		.local = text_of(object, "local", "-"),
		.peer = text_of(object, "peer", "-"),
		.state = text_of(object, "state", "-"),
		.reason = text_of(object, "reason", NULL),
		.role = text_of(object, "role", NULL),
		.tep = text_of(object, "tep", NULL),
		.aead = text_of(object, "aead", NULL),
		.session_id = text_of(object, "session_id", NULL),
		.comm = text_of(object, "comm", NULL),
		.encrypted = json_is_true(json_object_get(object, "encrypted")),
		.resumed = json_is_true(json_object_get(object, "resumed")),
		.started = seconds_of(object, "started"),
		.ended = seconds_of(object, "ended"),
		.bytes_in = count_of(object, "bytes_in"),
		.bytes_out = count_of(object, "bytes_out"),
		.rekeys = count_of(object, "rekeys"),
		.pid = count_of(object, "pid"),
	};
}

/*
 * A closed connection has only its reason to tell plain from failed. A reason that
 * this tool does not know must not make an encrypted connection look like a plain
 * one, nor the reverse.
 */
enum connection_verdict connection_verdict(const struct connection *connection)
{
	if (connection->reason) {
		switch (reason_kind(connection->reason)) {
		case REASON_PLAIN:
			return CONNECTION_PLAIN;
		case REASON_FAILED:
			return CONNECTION_FAILED;
		case REASON_FRESH:
		case REASON_UNKNOWN:
			break;
		}
		if (strcmp(connection->state, "plain") == 0)
			return CONNECTION_PLAIN;
		return CONNECTION_FAILED;
	}
	if (connection->encrypted)
		return CONNECTION_ENCRYPTED;
	if (strcmp(connection->state, "negotiating") == 0)
		return CONNECTION_NEGOTIATING;
	return CONNECTION_PLAIN;
}

/* Prints one more item of a list with commas; *first says whether it is the first. */
static void print_item(const char *prefix, const char *text, bool *first)
{
	if (!text)
		return;
	fputs(*first ? "" : ", ", stdout);
	fputs(prefix, stdout);
	format_text(stdout, text);
	*first = false;
}

static void print_cipher(const struct connection *connection, bool *first)
{
	print_item("", connection->tep, first);
	print_item("", connection->aead, first);
	print_item("role ", connection->role, first);
	print_item("", connection->resumed ? "resumed" : NULL, first);
	if (connection->rekeys > 0) {
		printf("%s%" PRId64 " key update%s", *first ? "" : ", ", connection->rekeys,
		       connection->rekeys == 1 ? "" : "s");
		*first = false;
	}
}

static void print_reason(const struct connection *connection, bool *first)
{
	const char *words = connection->reason ? reason_words(connection->reason) : NULL;

	if (words) {
		print_item("", words, first);
		fputs(" (", stdout);
		format_text(stdout, connection->reason);
		fputs(")", stdout);
	} else {
		print_item("", connection->reason, first);
	}
}

void connection_print_details(const struct connection *connection)
{
	bool first = true;

	print_reason(connection, &first);
	if (connection->encrypted && connection->reason)
		print_item("", "encrypted until then", &first);
	else if (connection->encrypted)
		print_cipher(connection, &first);
	if (first)
		fputs("no more is known", stdout);
}

void connection_print_verdict(const struct connection *connection)
{
	static const struct {
		enum format_style style;
		const char *name;
	} shown[] = {
		[CONNECTION_NEGOTIATING] = { FORMAT_NORMAL, "negotiating" },
		[CONNECTION_ENCRYPTED] = { FORMAT_GOOD, "encrypted" },
		[CONNECTION_PLAIN] = { FORMAT_ATTENTION, "plain" },
		[CONNECTION_FAILED] = { FORMAT_BAD, "failed" },
	};
	enum connection_verdict verdict = connection_verdict(connection);

	format_style(shown[verdict].style);
	fputs(shown[verdict].name, stdout);
	format_style(FORMAT_NORMAL);
	if (verdict == CONNECTION_NEGOTIATING)
		return;
	fputs(": ", stdout);
	connection_print_details(connection);
}

void connection_print_program(const struct connection *connection)
{
	if (connection->comm)
		format_text(stdout, connection->comm);
	if (connection->pid >= 0)
		printf("%s(%" PRId64 ")", connection->comm ? " " : "", connection->pid);
}
