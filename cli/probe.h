/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary TCP connection to a host and port, on which nothing is ever sent, and
 * its two addresses as the daemon writes them.
 */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include <stdint.h>

/* '[', IPv6 address, "]:", port, NUL */
#define PROBE_ADDRESS_MAX 56

enum probe_outcome {
	PROBE_UNRESOLVED = 1, /* the name or the service is unknown: gai_error says why */
};

struct probe {
	int fd;
	int gai_error;
	char local[PROBE_ADDRESS_MAX];
	char peer[PROBE_ADDRESS_MAX];
};

/*
 * Resolves and connects, address by address, until deadline (deadline.h); resolving
 * is not bounded by it. 0, PROBE_UNRESOLVED, or the negative errno of the last
 * address tried. After 0 the caller ends it with probe_close().
 */
int probe_open(const char *host, const char *port, int64_t deadline, struct probe *ret);

/* What its own socket says: a phase and a reason (tcp_eno(7), TCP_ENO_STATE); negative: nothing. */
int probe_state(const struct probe *probe);

/* Closes with a FIN: what the far end sent (a greeting) is read first and thrown away. */
void probe_close(struct probe *probe);

#endif
