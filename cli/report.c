/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include "deadline.h"
#include "format.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void say(const char *text)
{
	fflush(stdout);
	fputs("tcpcrypt: ", stderr);
	format_text(stderr, text);
	fputc('\n', stderr);
}

int report_error(const struct command_options *options, const char *format, ...)
{
	va_list arguments;
	char *text;
	int len;

	va_start(arguments, format);
	len = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (len < 0) {
		say(strerror(ENOMEM));
		return COMMAND_NOT_SO;
	}
	/* json_pack() refuses what is not UTF-8, as an argument of the user's may be. */
	if (options->json)
		report_json(json_pack("{s:s}", "error", text));
	else
		say(text);
	free(text);
	return COMMAND_NOT_SO;
}

const char *report_explain(const struct command_options *options, int error,
			   char buffer[static REPORT_MAX])
{
	const char *dir = options->run_dir;
	bool usual = strcmp(dir, COMMAND_RUN_DIR) == 0;

	if (control_is_absent(error))
		snprintf(buffer, REPORT_MAX,
			 "tcpcryptd is not running (nobody answers at %s/" CONTROL_SOCKET
			 "); start it as root: tcpcryptd%s%s",
			 dir, usual ? "" : " --run-dir ", usual ? "" : dir);
	else
		snprintf(buffer, REPORT_MAX, "%s (%s/" CONTROL_SOCKET ")", control_explain(error),
			 dir);
	return buffer;
}

int report_control(const struct command_options *options, int error)
{
	char buffer[REPORT_MAX];

	return report_error(options, "%s", report_explain(options, error, buffer));
}

void report_json(json_t *object)
{
	if (object)
		json_dumpf(object, stdout, 0);
	else
		fputs("{\"error\": \"out of memory, or text that is not UTF-8\"}", stdout);
	fputc('\n', stdout);
	fflush(stdout);
	json_decref(object);
}

void report_line(const struct control_line *line)
{
	fwrite(line->text, 1, line->len, stdout);
	fputc('\n', stdout);
}

int report_request(const struct command_options *options, json_t *request, struct control **ret)
{
	struct control *control;
	int error;

	error = control_open(options->run_dir, deadline_after(options->timeout_ms), &control);
	if (error) {
		json_decref(request);
		return report_control(options, error);
	}
	error = control_send(control, request);
	if (error) {
		control_free(control);
		return report_control(options, error);
	}
	*ret = control;
	return COMMAND_DONE;
}

int report_next(const struct command_options *options, struct control *control,
		struct control_line *ret)
{
	struct control_line line;
	const json_t *text;
	int error;

	error = control_next(control, &line);
	if (error < 0)
		report_control(options, error);
	if (error)
		return error;
	text = json_object_get(line.object, "error");
	if (!text) {
		*ret = line;
		return 0;
	}
	if (options->json)
		report_line(&line);
	else
		report_error(options, "tcpcryptd answers: %s",
			     json_is_string(text) ? json_string_value(text) : "an error");
	return -EREMOTEIO;
}

int report_answer(const struct command_options *options, json_t *request,
		  struct control **ret_control, struct control_line *ret)
{
	struct control *control;
	int status;
	int error;

	status = report_request(options, request, &control);
	if (status != COMMAND_DONE)
		return status;
	error = report_next(options, control, ret);
	if (error == CONTROL_END)
		report_error(options, "tcpcryptd closed the connection without an answer");
	if (error) {
		control_free(control);
		return COMMAND_NOT_SO;
	}
	*ret_control = control;
	return COMMAND_DONE;
}
