/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AES-GCM by Intel's multi-buffer crypto library, several times as fast as OpenSSL 3.0 where
 * the CPU has the instructions; everything else stays with the OpenSSL backend.
 */
#ifndef CRYPTO_IPSECMB_H
#define CRYPTO_IPSECMB_H

#include <tcpcrypt/crypto.h>

/* The table for this machine: with this library's AES-GCM when it was built in and the CPU has
 * what it needs, otherwise tcpcrypt_crypto_openssl() itself (NULL as there). Thread-safe. */
const struct tcpcrypt_crypto *crypto_fastest(void);

#endif
