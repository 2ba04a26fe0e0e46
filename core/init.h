/* SPDX-License-Identifier: BSD-2-Clause */
/* The two key-exchange messages (RFC 8548 section 4.1): bytes only, no cryptography. */
#ifndef CORE_INIT_H
#define CORE_INIT_H

#include "core/wire.h"

/* Which of the two; selects magic and layout. */
enum init_kind { INIT1, INIT2 };

/* A received message; pointers lie inside it. */
struct init_message {
	const uint8_t *ciphers; /* Init1: two bytes each; Init2: exactly one */
	size_t n_ciphers;
	const uint8_t *nonce; /* WIRE_NONCE_LEN bytes */
	const uint8_t *public_key;
	size_t public_key_len; /* in the encoding of section 5, length prefix included */
};

/*
 * How long is the message at the front of the stream? 0 and *ret_len when all of it is there;
 * TCPCRYPT_AGAIN and the input length needed when not; TCPCRYPT_E_BAD_MAGIC at the first wrong
 * byte; TCPCRYPT_E_BAD_INIT for a message_len beyond WIRE_INIT_MAX (D10).
 */
int init_measure(enum init_kind kind, const uint8_t *in, size_t len, size_t *ret_len);

/* Takes the whole message of len bytes apart. TCPCRYPT_E_BAD_INIT when a field does not fit. */
int init_decode(enum init_kind kind, uint8_t tep, const uint8_t *in, size_t len,
		struct init_message *ret);

/* The identifier number i of a message's cipher list. */
uint16_t init_cipher(const struct init_message *message, size_t i);

/* Host B's choice (8548-3.3-6): the first of its n preferences that is listed, or 0. */
uint16_t init_choose_cipher(const struct init_message *init1, const uint16_t *preferences,
			    size_t n);

/* What to send. */
struct init_fields {
	const uint16_t *ciphers;
	size_t n_ciphers; /* Init2: 1 */
	const uint8_t *nonce;
	const uint8_t *public_key;
	size_t public_key_len;
};

/* Encodes into out. TCPCRYPT_E_ARGUMENT when it does not fit into WIRE_INIT_SENT_MAX. */
int init_encode(enum init_kind kind, const struct init_fields *fields,
		uint8_t out[static WIRE_INIT_SENT_MAX], size_t *ret_len);

#endif
