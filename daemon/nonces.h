/* SPDX-License-Identifier: BSD-2-Clause */
/* The nonces that an active opener sends when it resumes (RFC 8548 section 3.5), made ahead. */
#ifndef DAEMON_NONCES_H
#define DAEMON_NONCES_H

#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/crypto.h>

#include "bpf/shared.h"

#define NONCES_AHEAD 32

/* Empty at first. One thread's. */
struct nonces {
	uint8_t bytes[NONCES_AHEAD][SHARED_NONCE_MAX];
	size_t left;
};

/* Writes a new nonce of len bytes, SHARED_NONCE_MAX at most, to out. 0, or the random source's error. */
int nonces_take(struct nonces *n, const struct tcpcrypt_crypto *crypto, uint8_t *out, size_t len);

#endif
