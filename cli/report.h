/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What goes wrong, told to the user: as text on standard error or, with --json, as
 * one object {"error":...} on standard output.
 */
#ifndef CLI_REPORT_H
#define CLI_REPORT_H

#include "command.h"
#include "control.h"

#include <jansson.h>

/* Reports one formatted sentence. Returns COMMAND_NOT_SO, for "return report_error(...)". */
__attribute__((format(printf, 2, 3))) int report_error(const struct command_options *options,
						       const char *format, ...);

#define REPORT_MAX 512

/* Puts a negative outcome of control_*() into words that say what to do. Returns buffer. */
const char *report_explain(const struct command_options *options, int error,
			   char buffer[static REPORT_MAX]);

/* Reports a negative outcome of control_*(). Returns COMMAND_NOT_SO. */
int report_control(const struct command_options *options, int error);

/* Prints one object on a line of standard output, and takes over the reference to it. */
void report_json(json_t *object);

/* Prints an answer of the daemon unchanged. */
void report_line(const struct control_line *line);

/*
 * Connects to the daemon and sends a request, whose reference it takes over.
 * COMMAND_DONE, or what report_control() returns.
 */
int report_request(const struct command_options *options, json_t *request, struct control **ret);

/*
 * The next answer. 0; CONTROL_END and the other outcomes of control_next(); negative
 * when the daemon failed, or answered with an error: that has been reported then.
 */
int report_next(const struct command_options *options, struct control *control,
		struct control_line *ret);

/*
 * For requests with exactly one answer: both of the above. COMMAND_DONE, and the
 * answer lives until the caller frees the control connection; or COMMAND_NOT_SO,
 * and everything has been reported and freed.
 */
int report_answer(const struct command_options *options, json_t *request,
		  struct control **ret_control, struct control_line *ret);

#endif
