/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt doctor: what this kernel and host lack, one line each, with the mend. */
#include "doctor.h"

#include "format.h"
#include "report.h"

#include <stdarg.h>
#include <stdio.h>

static void print_json(const char *check, enum doctor_verdict verdict, const char *text,
		       const char *mend)
{
	static const char *const names[] = {
		[DOCTOR_GOOD] = "good",
		[DOCTOR_LACKS] = "lacks",
		[DOCTOR_UNKNOWN] = "unknown",
	};

	report_json(json_pack("{s:s, s:s, s:s, s:s?}", "check", check, "verdict", names[verdict],
			      "text", text, "mend", mend));
}

static void print_line(const char *check, enum doctor_verdict verdict, const char *text,
		       const char *mend)
{
	static const char *const words[] = {
		[DOCTOR_GOOD] = "ok   ",
		[DOCTOR_LACKS] = "LACKS",
		[DOCTOR_UNKNOWN] = "?    ",
	};
	static const enum format_style styles[] = {
		[DOCTOR_GOOD] = FORMAT_GOOD,
		[DOCTOR_LACKS] = FORMAT_BAD,
		[DOCTOR_UNKNOWN] = FORMAT_ATTENTION,
	};

	format_style(styles[verdict]);
	fputs(words[verdict], stdout);
	format_style(FORMAT_NORMAL);
	putchar(' ');
	format_padded(check, 14);
	format_text(stdout, text);
	if (mend) {
		fputs("; ", stdout);
		format_text(stdout, mend);
	}
	putchar('\n');
}

void doctor_say(struct doctor *d, const char *check, enum doctor_verdict verdict, const char *mend,
		const char *format, ...)
{
	char text[DOCTOR_TEXT_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	if (verdict == DOCTOR_LACKS)
		d->lacks = true;
	if (verdict == DOCTOR_GOOD)
		mend = NULL;
	if (d->options->json)
		print_json(check, verdict, text, mend);
	else
		print_line(check, verdict, text, mend);
}

int doctor_main(const struct command_options *options, char **arguments)
{
	struct doctor d = { .options = options };

	doctor_kernel(&d);
	doctor_net(&d);
	doctor_daemon(&d);
	return d.lacks ? COMMAND_NOT_SO : COMMAND_DONE;
}
