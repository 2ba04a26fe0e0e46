/* SPDX-License-Identifier: BSD-2-Clause */
#include "format.h"

#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

static bool coloured;

void format_init(void)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	coloured = isatty(STDOUT_FILENO) && !(no_color && *no_color) &&
		   !(term && strcmp(term, "dumb") == 0);
}

void format_style(enum format_style style)
{
	static const char *const sequences[] = {
		[FORMAT_NORMAL] = "\033[0m", [FORMAT_HEADING] = "\033[1m",
		[FORMAT_GOOD] = "\033[32m",  [FORMAT_ATTENTION] = "\033[33m",
		[FORMAT_BAD] = "\033[31m",
	};

	if (coloured)
		fputs(sequences[style], stdout);
}

/* Characters that iswprint() lets pass although they show as something else, or not at all. */
static bool is_deceptive(wchar_t c)
{
	return c == 0x00ad || c == 0x061c || (c >= 0x200b && c <= 0x200f) ||
	       (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff ||
	       (c >= 0xfff9 && c <= 0xfffb) || (c >= 0xe0000 && c <= 0xe0fff);
}

/* Prints the first character of text, or with out NULL only measures it. Returns its bytes. */
static size_t put_character(FILE *out, const char *text, mbstate_t *state, int *columns)
{
	wchar_t c;
	size_t len = mbrtowc(&c, text, strnlen(text, MB_LEN_MAX), state);
	bool valid = len != (size_t)-1 && len != (size_t)-2;

	if (valid && c == L'\\') {
		*columns += 2;
		if (out)
			fputs("\\\\", out);
		return 1;
	}
	if (valid && iswprint((wint_t)c) && !is_deceptive(c) && wcwidth(c) >= 0) {
		*columns += wcwidth(c);
		if (out)
			fwrite(text, 1, len, out);
		return len;
	}
	if (!valid) {
		memset(state, 0, sizeof(*state));
		len = 1;
	}
	*columns += 4 * (int)len;
	for (size_t i = 0; out && i < len; i++)
		fprintf(out, "\\x%02x", (unsigned char)text[i]);
	return len;
}

int format_text(FILE *out, const char *text)
{
	mbstate_t state = { 0 };
	int columns = 0;

	while (*text)
		text += put_character(out, text, &state, &columns);
	return columns;
}

int format_width(const char *text)
{
	return format_text(NULL, text);
}

void format_padded(const char *text, int width)
{
	int columns = format_text(stdout, text);

	if (columns < width)
		printf("%*s", width - columns, "");
}

const char *format_size(int64_t bytes, char buffer[static FORMAT_MAX])
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double value = (double)bytes;
	size_t unit = 0;

	if (bytes < 0)
		return "-";
	if (bytes < 1024) {
		snprintf(buffer, FORMAT_MAX, "%d B", (int)bytes);
		return buffer;
	}
	/* 1023.95 would be printed as 1024.0 */
	while (value >= 1023.95 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		value /= 1024;
		unit++;
	}
	snprintf(buffer, FORMAT_MAX, "%.1f %s", value, units[unit]);
	return buffer;
}

const char *format_duration(double seconds, char buffer[static FORMAT_MAX])
{
	long long s;

	if (!(seconds >= 0 && seconds < 1e15))
		return "-";
	s = (long long)seconds;
	if (s < 60)
		snprintf(buffer, FORMAT_MAX, "%llds", s);
	else if (s < 3600)
		snprintf(buffer, FORMAT_MAX, "%lldm %02llds", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buffer, FORMAT_MAX, "%lldh %02lldm", s / 3600, s % 3600 / 60);
	else
		snprintf(buffer, FORMAT_MAX, "%lldd %02lldh", s / 86400, s % 86400 / 3600);
	return buffer;
}

double format_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *format_time(double since_epoch, char buffer[static FORMAT_MAX])
{
	struct tm local;
	time_t t;

	if (!(since_epoch >= 0 && since_epoch < 1e11))
		return "-";
	t = (time_t)since_epoch;
	if (!localtime_r(&t, &local) ||
	    strftime(buffer, FORMAT_MAX, "%Y-%m-%d %H:%M:%S", &local) == 0)
		return "-";
	return buffer;
}

void format_session_id(const char *hex)
{
	size_t len = strlen(hex);

	/* Whatever is not a session ID is shown as it is. */
	if (len < 2 || strspn(hex, "0123456789abcdef") != len) {
		format_text(stdout, hex);
		return;
	}
	printf("%.2s", hex);
	for (size_t i = 2; i < len; i += 8)
		printf(" %.8s", hex + i);
}
