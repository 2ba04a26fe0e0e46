// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static bool to_journal;
static bool verbose_enabled;

void log_init(bool verbose)
{
	to_journal = getenv("JOURNAL_STREAM") != NULL;
	verbose_enabled = verbose;
}

void log_write(enum log_level level, const char *format, ...)
{
	va_list args;

	if (level == LOG_LEVEL_DEBUG && !verbose_enabled)
		return;
	flockfile(stderr);
	if (to_journal)
		fprintf(stderr, "<%d>", level);
	else
		fputs("tcpcryptd: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	funlockfile(stderr);
}
