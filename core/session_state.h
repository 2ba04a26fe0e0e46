/* SPDX-License-Identifier: BSD-2-Clause */
/* What a session is made of, for core/session.c and for the tests that look inside. */
#ifndef CORE_SESSION_STATE_H
#define CORE_SESSION_STATE_H

#include "core/exchange.h"
#include "core/half.h"
#include "core/kex.h"
#include "core/rekey.h"

struct tcpcrypt_session {
	const struct tcpcrypt_crypto *crypto; /* NULL: nothing to deinit */
	struct kex kex;
	struct half_rx half_rx;
	struct half_tx half_tx;
	enum tcpcrypt_role role;
	enum tcpcrypt_role original_role;
	uint8_t tep_byte;
	bool resumed;
	bool init_pending; /* exchange.init is to be written */
	bool has_next;	   /* next_secret is there and was not handed out */
	uint16_t aead;
	uint64_t rekey_bytes;
	void (*keylog)(void *data, const struct tcpcrypt_keylog *secrets); /* or NULL */
	void *keylog_data;
	struct exchange exchange;
	struct rekey_direction tx, rx;
	/*
	 * The local generation number of section 3.8. While it is ahead of tx.generation,
	 * frames with rekey = 1 are due, one for each step.
	 */
	uint64_t local_generation;
	uint8_t session_id[TCPCRYPT_SESSION_ID_LEN];
	uint8_t next_secret[TCPCRYPT_SECRET_LEN];
};

#endif
