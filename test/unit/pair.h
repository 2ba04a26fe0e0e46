/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two sessions back to back in memory, with a wire in each direction that a test or a fuzzer
 * may cut into pieces, change or end. Without any test framework; out of memory aborts.
 */
#ifndef TEST_UNIT_PAIR_H
#define TEST_UNIT_PAIR_H

#include <tcpcrypt/session.h>

struct pair_buffer {
	uint8_t *data;
	size_t len, room;
};

struct pair_end {
	struct tcpcrypt_session *session;
	struct pair_buffer wire;     /* written and not yet taken by the other end */
	struct pair_buffer in;	     /* arrived and not yet consumed */
	struct pair_buffer received; /* application data delivered */
	struct pair_buffer sent;     /* application data handed to send() */
	bool sent_fin, eof;
	int error; /* first negative result of any call, or 0 */
	unsigned int established, rekeyed, n_urgent;
	uint64_t urgent_index;
	size_t writes; /* calls that put bytes on the wire */
};

struct pair {
	struct pair_end a, b;
};

struct pair_params {
	uint8_t tep;
	uint16_t aead;
	uint64_t rekey_bytes;
	/* Non-NULL, both: a resumed session. */
	const struct tcpcrypt_resumption *resume_a, *resume_b;
	const struct tcpcrypt_crypto *crypto; /* NULL: OpenSSL */
	void (*keylog)(void *data, const struct tcpcrypt_keylog *secrets);
	void *keylog_data[2]; /* by role */
};

/* The session of one end, or NULL and *ret_error. */
struct tcpcrypt_session *pair_session(const struct pair_params *params, enum tcpcrypt_role role,
				      int *ret_error);

/* 0 or the error of the end that could not start; always followed by pair_deinit(). */
int pair_init(struct pair *pair, const struct pair_params *params);
void pair_deinit(struct pair *pair);

struct pair_end *pair_other(struct pair *pair, struct pair_end *end);

/* Puts pending protocol output on the wire. */
void pair_flush(struct pair_end *end);

/* Flushes, then sends one frame. flags as for tcpcrypt_session_send(). */
int pair_send(struct pair_end *end, const uint8_t *data, size_t len, unsigned int flags,
	      uint16_t urgent);

/* Moves up to n bytes from end's wire to the other end, which consumes what it can. */
void pair_deliver(struct pair *pair, struct pair_end *end, size_t n);

/* TCP's FIN arrives at end after everything that was delivered to it. */
int pair_fin(struct pair_end *end);

/* Flushes and delivers, piece by piece of at most n bytes, until nothing moves any more. */
void pair_run(struct pair *pair, size_t n);

void pair_append(struct pair_buffer *buffer, const uint8_t *data, size_t len);
void pair_consume(struct pair_buffer *buffer, size_t len);

#endif
