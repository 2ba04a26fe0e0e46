/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The client's end of the daemon's control socket (doc/control.md): one request,
 * then answers, one JSON object a line. Prints nothing.
 *
 * Functions return 0, a documented positive outcome, or a negative errno, which
 * control_explain() puts into words.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONTROL_SOCKET "control.sock"

/* No answer of a sane daemon is longer than this; one that is ends with -EMSGSIZE. */
#define CONTROL_LINE_MAX (4u << 20)

enum control_outcome {
	CONTROL_END = 1,	 /* the daemon has answered everything and closed */
	CONTROL_INTERRUPTED = 2, /* signal_fd of control_watch() has a signal */
	CONTROL_NO_READER = 3,	 /* nobody reads any more what we print */
};

struct control; /* opaque */

/* One answer. Both belong to the control connection and live until its next call. */
struct control_line {
	const char *text; /* exactly as the daemon sent it, no newline, not terminated */
	size_t len;
	json_t *object;
};

/* Connects to run_dir/control.sock. Everything on it must be done by deadline (deadline.h). */
int control_open(const char *run_dir, int64_t deadline, struct control **ret);

/* Sends one request, and takes over the caller's reference to it; -ENOMEM when it is NULL. */
int control_send(struct control *control, json_t *request);

/*
 * For requests that have no last answer: from now on there is no deadline; waiting
 * ends when signal_fd, a signalfd, is readable (CONTROL_INTERRUPTED), or when the
 * reader of output_fd is gone (CONTROL_NO_READER). Both stay the caller's.
 */
void control_watch(struct control *control, int signal_fd, int output_fd);

/*
 * The next answer, or CONTROL_END, CONTROL_INTERRUPTED, CONTROL_NO_READER. Errors
 * besides the system's: -EPROTO (a line is not a JSON object), -EMSGSIZE (too
 * long), -ECONNRESET (closed in the middle of a line), -ETIMEDOUT.
 */
int control_next(struct control *control, struct control_line *ret);

/* Accepts NULL. */
void control_free(struct control *control);

/* What a negative outcome of the functions above means to the user. Static text. */
const char *control_explain(int error);

/* Whether the error of control_open() says that no daemon is there. */
bool control_is_absent(int error);

#endif
