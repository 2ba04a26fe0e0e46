/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One connection as the daemon describes it (doc/control.md), and the words for it
 * that list, watch and verify share.
 */
#ifndef CLI_CONNECTION_H
#define CLI_CONNECTION_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

/* Strings belong to the JSON object that was read. */
struct connection {
	const char *direction; /* these four are "-" when missing, */
	const char *local;
	const char *peer;
	const char *state;
	const char *reason; /* these are NULL when null or missing, */
	const char *role;
	const char *tep;
	const char *aead;
	const char *session_id;
	const char *comm;
	bool encrypted;
	bool resumed;
	double started; /* and numbers are negative */
	double ended;
	int64_t bytes_in;
	int64_t bytes_out;
	int64_t rekeys;
	int64_t pid;
};

/* What a user wants to know first. */
enum connection_verdict {
	CONNECTION_NEGOTIATING,
	CONNECTION_ENCRYPTED, /* it is, or was until its orderly end */
	CONNECTION_PLAIN,
	CONNECTION_FAILED,
};

/* Reads what is there; an object without a single key of a connection is not an error. */
void connection_read(const json_t *object, struct connection *ret);

enum connection_verdict connection_verdict(const struct connection *connection);

/*
 * Prints the verdict and what belongs to it, in colour, without a newline:
 *   encrypted: x25519, aes-128-gcm, role A, resumed, 2 key updates
 *   plain: the far end did not answer the offer to encrypt (no-eno)
 */
void connection_print_verdict(const struct connection *connection);

/* The same without the verdict's name: "x25519, aes-128-gcm, role A", "refused (...)". */
void connection_print_details(const struct connection *connection);

/* "curl (1234)", "(1234)", "curl"; nothing when both are unknown. */
void connection_print_program(const struct connection *connection);

#endif
