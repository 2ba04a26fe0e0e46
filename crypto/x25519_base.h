/* SPDX-License-Identifier: BSD-2-Clause */
/* The public key of X25519 (RFC 7748), for sodium_kex.c. */
#ifndef CRYPTO_X25519_BASE_H
#define CRYPTO_X25519_BASE_H

#include <stdint.h>

#define X25519_LEN 32

/* 0 or a negative error. */
int x25519_base(uint8_t ret_public[X25519_LEN], const uint8_t private[X25519_LEN]);

#endif
