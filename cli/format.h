/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Values as people read them. Text that comes from other programs or the network
 * reaches the terminal through format_text() only.
 */
#ifndef CLI_FORMAT_H
#define CLI_FORMAT_H

#include <stdint.h>
#include <stdio.h>

#define FORMAT_MAX 32

enum format_style {
	FORMAT_NORMAL,
	FORMAT_HEADING,
	FORMAT_GOOD,
	FORMAT_ATTENTION,
	FORMAT_BAD,
};

/* Decides about colours: only on a terminal, and not when NO_COLOR is set. Call once. */
void format_init(void);

/* Switches standard output to a style, where there are colours. */
void format_style(enum format_style style);

/*
 * Prints text with everything escaped that could steer a terminal or hide something:
 * control characters, changes of writing direction, invisible characters, and what
 * the locale cannot print, as \xHH byte by byte; backslash as two. Returns the
 * number of columns.
 */
int format_text(FILE *out, const char *text);

/* The same on standard output, filled with blanks up to width columns. */
void format_padded(const char *text, int width);

/* The columns that format_text() would take. */
int format_width(const char *text);

/* "734 B", "12.3 KiB"; "-" when negative, that is: unknown. */
const char *format_size(int64_t bytes, char buffer[static FORMAT_MAX]);

/* "0s", "2m 05s", "3h 12m", "4d 07h"; "-" when negative. */
const char *format_duration(double seconds, char buffer[static FORMAT_MAX]);

/* Seconds since the epoch, with the fraction that the daemon's times have too. */
double format_now(void);

/* "2026-08-05 12:34:56", local time; "-" when negative. */
const char *format_time(double since_epoch, char buffer[static FORMAT_MAX]);

/*
 * Prints a session ID (hex) whole, in groups that people can compare: the first
 * byte, then eight digits each.
 */
void format_session_id(const char *hex);

#endif
