/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What one host knows and sends during a fresh key exchange (RFC 8548 section 3.3), up to
 * the pseudo-random key. Lives inside a session and ends before its first frame.
 */
#ifndef CORE_EXCHANGE_H
#define CORE_EXCHANGE_H

#include "core/init.h"

struct exchange {
	const struct tcpcrypt_crypto *crypto;
	uint8_t tep;
	uint8_t transcript[TCPCRYPT_TRANSCRIPT_MAX];
	size_t transcript_len;
	uint16_t aeads[TCPCRYPT_AEADS_MAX];
	size_t n_aeads;
	struct tcpcrypt_keypair *keypair; /* owned; NULL once used */
	uint8_t nonce[WIRE_NONCE_LEN];
	uint8_t init[WIRE_INIT_SENT_MAX]; /* the message that this host sends */
	size_t init_len;
};

/* What the exchange leaves behind. The caller wipes it. */
struct exchange_result {
	uint8_t prk[WIRE_K_LEN];
	uint16_t aead;
};

/*
 * Takes transcript, AEADs and key pair over from the session's parameters, which were
 * checked. exchange_deinit() cleans up, after errors of the others as well.
 */
void exchange_init(struct exchange *x, const struct tcpcrypt_session_params *p);
void exchange_deinit(struct exchange *x);

/* Host A: makes Init1 in x->init. */
int exchange_offer(struct exchange *x);

/* Host B: takes a complete Init1, makes Init2 in x->init, agrees. */
int exchange_accept_init1(struct exchange *x, const uint8_t *in, size_t len,
			  struct exchange_result *ret);

/* Host A: takes a complete Init2, agrees. */
int exchange_accept_init2(struct exchange *x, const uint8_t *in, size_t len,
			  struct exchange_result *ret);

#endif
