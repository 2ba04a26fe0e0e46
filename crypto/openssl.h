/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The OpenSSL 3 backend's parts: one file each for hashing, AEAD and key agreement. The
 * public face is tcpcrypt_crypto_openssl(). Every part fetches its algorithms once, before
 * any other call to it, and gives 0 or a negative enum tcpcrypt_error.
 */
#ifndef CRYPTO_OPENSSL_H
#define CRYPTO_OPENSSL_H

#include <tcpcrypt/crypto.h>
#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

int openssl_hash_fetch(void);
int openssl_hmac(const uint8_t *key, size_t key_len, const struct tcpcrypt_span *spans, size_t n,
		 uint8_t out[TCPCRYPT_HASH_LEN]);

int openssl_aead_fetch(void);
int openssl_aead_new(uint16_t aead, struct tcpcrypt_aead **ret);
int openssl_aead_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key);
int openssl_aead_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		      const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		      const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN]);
int openssl_aead_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		      const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		      const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN]);
void openssl_aead_free(struct tcpcrypt_aead *ctx);

int openssl_kex_fetch(void);
int openssl_keypair_new(uint8_t tep, struct tcpcrypt_keypair **ret);
int openssl_public_key(const struct tcpcrypt_keypair *pair, uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX],
		       size_t *ret_len);
int openssl_agree(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t peer_len,
		  uint8_t out[TCPCRYPT_SHARED_SECRET_MAX], size_t *ret_len);
void openssl_keypair_free(struct tcpcrypt_keypair *pair);

/*
 * For tests: a key pair from a private key, raw for X25519 and X448, a big-endian scalar for
 * the NIST curves. tcpcrypt_session_params.keypair takes it like one of keypair_new().
 */
int openssl_keypair_from_private(uint8_t tep, const uint8_t *key, size_t len,
				 struct tcpcrypt_keypair **ret);

#endif
