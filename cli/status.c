/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt status: what the daemon does and what became of the connections it saw. */
#include "command.h"
#include "format.h"
#include "reason.h"
#include "report.h"

#include <stdio.h>
#include <string.h>

#define LABEL_WIDTH 19
#define NAME_WIDTH  20

static void print_label(const char *label)
{
	fputs("  ", stdout);
	format_padded(label, LABEL_WIDTH);
}

static void print_heading(const json_t *status)
{
	const char *state = json_string_value(json_object_get(status, "state"));
	const char *version = json_string_value(json_object_get(status, "version"));
	const json_t *pid = json_object_get(status, "pid");
	const json_t *started = json_object_get(status, "started");
	bool good = state && strcmp(state, "intercepting") == 0;
	char buffer[FORMAT_MAX];

	fputs("tcpcryptd", stdout);
	if (version) {
		putchar(' ');
		format_text(stdout, version);
	}
	if (json_is_integer(pid))
		printf(" (pid %lld)", (long long)json_integer_value(pid));
	fputs(": ", stdout);
	format_style(good ? FORMAT_GOOD : FORMAT_ATTENTION);
	format_text(stdout, state ? state : "state unknown");
	format_style(FORMAT_NORMAL);
	if (json_is_number(started))
		printf(", up %s",
		       format_duration(format_now() - json_number_value(started), buffer));
	putchar('\n');
}

static void print_count(const char *label, const json_t *count, const char *behind)
{
	print_label(label);
	if (json_is_integer(count))
		printf("%lld%s\n", (long long)json_integer_value(count), behind);
	else
		puts("-");
}

/* A total, and under it one line a reason, in the daemon's order. */
static void print_reasons(const char *label, json_t *reasons)
{
	const char *name;
	const char *words;
	json_t *count;
	long long total = 0;

	json_object_foreach(reasons, name, count) total += json_integer_value(count);
	print_label(label);
	printf("%lld\n", total);
	json_object_foreach(reasons, name, count)
	{
		words = reason_words(name);
		fputs("    ", stdout);
		format_padded(name, NAME_WIDTH);
		printf(" %7lld%s%s\n", (long long)json_integer_value(count), words ? "  " : "",
		       words ? words : "");
	}
}

static void print_engine(const json_t *engine)
{
	const char *cgroup = json_string_value(json_object_get(engine, "cgroup"));
	const json_t *cookie = json_object_get(engine, "netns_cookie");
	const json_t *interfaces = json_object_get(engine, "interfaces");
	const char *name;

	if (json_is_array(interfaces)) {
		print_label("interfaces");
		for (size_t i = 0; i < json_array_size(interfaces); i++) {
			name = json_string_value(json_array_get(interfaces, i));
			fputs(i > 0 ? ", " : "", stdout);
			format_text(stdout, name ? name : "-");
		}
		puts(json_array_size(interfaces) ? "" : "none but loopback");
	}
	if (cgroup) {
		print_label("cgroup");
		format_text(stdout, cgroup);
		putchar('\n');
	}
	if (json_is_integer(cookie))
		print_count("network namespace", cookie, " (cookie)");
}

/* Loud: with a key log encryption keeps nothing from who can read that file. */
static void print_key_log(const json_t *path)
{
	if (!json_is_string(path))
		return;
	print_label("KEY LOG");
	format_style(FORMAT_ATTENTION);
	fputs("the keys of all connections are written to ", stdout);
	format_text(stdout, json_string_value(path));
	format_style(FORMAT_NORMAL);
	putchar('\n');
}

static void print_warning(const char *label, const char *before, const char *name)
{
	print_label(label);
	format_style(FORMAT_ATTENTION);
	fputs(before, stdout);
	if (name)
		format_text(stdout, name);
	format_style(FORMAT_NORMAL);
	putchar('\n');
}

/* Only what should not be so. */
static void print_sandbox(const json_t *sandbox)
{
	if (json_is_false(json_object_get(sandbox, "on")))
		print_warning("SANDBOX", "off: the daemon is root with all rights", NULL);
	else if (json_is_true(json_object_get(sandbox, "user_missing")))
		print_warning("SANDBOX", "the daemon is root: there is no user ",
			      json_string_value(json_object_get(sandbox, "user")));
	else if (json_is_integer(json_object_get(sandbox, "uid")) &&
		 !json_integer_value(json_object_get(sandbox, "uid")))
		print_warning("SANDBOX", "the daemon is root by configuration", NULL);
	if (json_is_false(json_object_get(sandbox, "memory_locked")))
		print_warning("SANDBOX", "memory is not locked: keys may be swapped out", NULL);
}

static void print_limit(const json_t *at_limit)
{
	if (json_is_true(at_limit))
		print_warning("LIMIT", "reached: new connections are left alone until some end",
			      NULL);
}

static void print_workers(const json_t *workers)
{
	json_int_t least = 0, most = 0;

	if (!json_is_array(workers))
		return;
	for (size_t i = 0; i < json_array_size(workers); i++) {
		json_int_t n = json_integer_value(
			json_object_get(json_array_get(workers, i), "connections"));

		least = !i || n < least ? n : least;
		most = n > most ? n : most;
	}
	print_label("workers");
	printf("%zu, with %lld to %lld connections each\n", json_array_size(workers),
	       (long long)least, (long long)most);
}

/* Daemons that were replaced. */
static void print_ending(const json_t *ending)
{
	for (size_t i = 0; i < json_array_size(ending); i++) {
		const json_t *daemon = json_array_get(ending, i);

		print_label("replaced, ending");
		printf("%lld connections of process %lld\n",
		       (long long)json_integer_value(json_object_get(daemon, "connections")),
		       (long long)json_integer_value(json_object_get(daemon, "pid")));
	}
}

static void print_policy(const json_t *policy)
{
	const json_t *rules = json_object_get(policy, "rules");
	const json_t *require = json_object_get(policy, "require");

	if (!json_is_integer(rules) || !json_is_integer(require))
		return;
	print_label("policy rules");
	printf("%lld", (long long)json_integer_value(rules));
	if (json_integer_value(require))
		printf(", of which %lld require%s encryption",
		       (long long)json_integer_value(require),
		       json_integer_value(require) == 1 ? "s" : "");
	putchar('\n');
}

/* "libsodium (faster than OpenSSL 3.0)" */
static void print_backend(const char *what, const json_t *backend)
{
	const char *library = json_string_value(json_object_get(backend, "library"));
	const char *reason = json_string_value(json_object_get(backend, "reason"));

	if (!library)
		return;
	print_label(what);
	format_text(stdout, library);
	if (reason) {
		fputs(" (", stdout);
		format_text(stdout, reason);
		putchar(')');
	}
	putchar('\n');
}

static void print_status(const json_t *status)
{
	print_heading(status);
	print_key_log(json_object_get(status, "key_log"));
	print_sandbox(json_object_get(status, "sandbox"));
	print_count("connections now", json_object_get(status, "connections"), "");
	print_limit(json_object_get(status, "at_limit"));
	print_workers(json_object_get(status, "workers"));
	print_ending(json_object_get(status, "ending"));
	print_count("encrypted", json_object_get(status, "encrypted"), "");
	print_count("  resumed", json_object_get(status, "resumed"), "");
	print_reasons("  fresh keys", json_object_get(status, "fresh"));
	print_reasons("plain", json_object_get(status, "plain"));
	print_reasons("failed", json_object_get(status, "failed"));
	print_policy(json_object_get(status, "policy"));
	print_backend("AES-GCM", json_object_get(json_object_get(status, "crypto"), "aes_gcm"));
	print_backend("X25519", json_object_get(json_object_get(status, "crypto"), "x25519"));
	print_backend("HMAC", json_object_get(json_object_get(status, "crypto"), "hmac"));
	print_engine(json_object_get(status, "engine"));
}

int status_main(const struct command_options *options, char **arguments)
{
	struct control *control;
	struct control_line line;
	int status;

	status = report_answer(options, json_pack("{s:s}", "command", "status"), &control, &line);
	if (status != COMMAND_DONE)
		return status;
	if (options->json)
		report_line(&line);
	else
		print_status(line.object);
	control_free(control);
	return COMMAND_DONE;
}
