// SPDX-License-Identifier: BSD-2-Clause
/* tcpcrypt verify where only programs in in-process mode are encrypted: it becomes one of them. */
#include "verify_inproc.h"

#include "deadline.h"
#include "inproc.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool verify_is_inproc(void)
{
	const char *loaded = getenv("LD_PRELOAD");

	return loaded && strstr(loaded, inproc_library());
}

static bool is_engine_only(const struct command_options *options, int64_t deadline)
{
	struct control *control;
	struct control_line line;
	const char *state;
	bool is = false;

	if (control_open(options->run_dir, deadline, &control))
		return false;
	if (!control_send(control, json_pack("{s:s}", "command", "status")) &&
	    !control_next(control, &line)) {
		state = json_string_value(json_object_get(line.object, "state"));
		is = state && !strcmp(state, "engine-only");
	}
	control_free(control);
	return is;
}

bool verify_wants_inproc(const struct command_options *options, int64_t deadline)
{
	return !verify_is_inproc() && !inproc_library_unfit() && is_engine_only(options, deadline);
}

int verify_again_inproc(const struct command_options *options, char **arguments, int64_t deadline)
{
	const char *format = options->json ? "--json" : "--";
	char self[4096], timeout[32];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	snprintf(timeout, sizeof(timeout), "%d", deadline_left(deadline) / 1000 + 1);
	if (len > 0) {
		self[len] = '\0';
		if (inproc_preload(options->run_dir))
			execl(self, "tcpcrypt", "--run-dir", options->run_dir, "verify",
			      "--timeout", timeout, format, arguments[0], arguments[1], NULL);
	}
	return report_error(options, "cannot be started once more, to encrypt its own connection");
}
