/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt flush: makes the daemon forget what it has learned. */
#include "command.h"
#include "report.h"

#include <stdio.h>

int flush_main(const struct command_options *options, char **arguments)
{
	struct control *control;
	struct control_line line;
	int status;

	status = report_answer(options, json_pack("{s:s}", "command", "flush"), &control, &line);
	if (status != COMMAND_DONE)
		return status;
	if (!json_is_true(json_object_get(line.object, "flushed")))
		status = report_error(options, "tcpcryptd did not say that it has flushed");
	else if (options->json)
		report_line(&line);
	else
		puts("tcpcryptd has forgotten all sessions and every destination that it had "
		     "learned.");
	control_free(control);
	return status;
}
