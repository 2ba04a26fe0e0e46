/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a client of the control socket may ask (doc/control.md). A pure function over the
 * request's bytes: no socket and no state, so that the fuzzer reads requests too.
 */
#ifndef DAEMON_REQUEST_H
#define DAEMON_REQUEST_H

#include <stdbool.h>
#include <stddef.h>

#include "bpf/shared.h"

#define REQUEST_LAYOUT_MAX 32

#define REQUEST_MAX 4096 /* bytes of a request, without its end of line */

enum request_command {
	REQUEST_STATUS,
	REQUEST_LIST,
	REQUEST_WATCH,
	REQUEST_VERIFY,
	REQUEST_FLUSH,
	REQUEST_UPGRADE,
	REQUEST_N_COMMANDS,
};

struct request {
	enum request_command command;
	bool recent;			    /* list: also those that ended */
	struct shared_endpoint local, peer; /* verify */
	char layout[REQUEST_LAYOUT_MAX];    /* upgrade: of what two daemons share */
};

/* Reads one request. NULL, or what is wrong with it: static text for the client; then *ret
 * is untouched. */
const char *request_read(const char *text, size_t len, struct request *ret);

#endif
