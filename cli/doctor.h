/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of `tcpcrypt doctor` agree on: each looks at one side of the host. */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "command.h"

#include <jansson.h>
#include <stdbool.h>

#define DOCTOR_TEXT_MAX 512

struct doctor {
	const struct command_options *options;
	bool lacks; /* something, so far */
};

enum doctor_verdict {
	DOCTOR_GOOD,
	DOCTOR_LACKS,
	DOCTOR_UNKNOWN, /* only root can look */
};

/* Prints one line: the check's name, what was found and, unless good, the mend (or NULL). */
__attribute__((format(printf, 5, 6))) void doctor_say(struct doctor *d, const char *check,
						      enum doctor_verdict verdict, const char *mend,
						      const char *format, ...);

/* The kernel and the processor: doctor_kernel.c. */
void doctor_kernel(struct doctor *d);

/* This network namespace: doctor_net.c. */
void doctor_net(struct doctor *d);

/* The daemon, and what it needs of the host: doctor_daemon.c. */
void doctor_daemon(struct doctor *d);

#endif
