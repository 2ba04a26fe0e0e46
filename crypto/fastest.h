/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The daemon's table: OpenSSL's, with AES-GCM by Intel's multi-buffer crypto library, two to three
 * times as fast as OpenSSL 3.0 where the CPU has the instructions, X25519 by libsodium (public
 * keys with GMP's help), and HMAC by nettle.
 */
#ifndef CRYPTO_FASTEST_H
#define CRYPTO_FASTEST_H

#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/crypto.h>

/* Who computes something, and why it is this one. Static text. */
struct crypto_backend {
	const char *library, *reason;
};

struct crypto_choice {
	const struct tcpcrypt_crypto *table;
	struct crypto_backend aes_gcm, x25519, hmac;
};

/* What is best on this machine; constant after the first call. The table is NULL when
 * tcpcrypt_crypto_openssl() is. Thread-safe. */
const struct crypto_choice *crypto_choose(void);

/* Its parts: each puts its functions in the place of those in the table, to which it hands on
 * what is not its own, if it can. Once a process, from crypto_choose(). */
struct crypto_backend ipsecmb_use(struct tcpcrypt_crypto *table);
struct crypto_backend sodium_use(struct tcpcrypt_crypto *table);
struct crypto_backend nettle_use(struct tcpcrypt_crypto *table);

/* For tests, after sodium_use(): an X25519 pair from a private key. 0 or a negative error. */
int sodium_keypair_from_private(const uint8_t key[32], struct tcpcrypt_keypair **ret);

#endif
