/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reasons for which connections stay plain, fail or are not resumed (doc/control.md), in words.
 */
#ifndef CLI_REASON_H
#define CLI_REASON_H

enum reason_kind {
	REASON_UNKNOWN, /* of a daemon that is newer than this tool */
	REASON_PLAIN,
	REASON_FAILED,
	REASON_FRESH, /* why no session was resumed */
};

enum reason_kind reason_kind(const char *name);

/* A few words without a full stop; NULL for an unknown reason. Static. */
const char *reason_words(const char *name);

#endif
