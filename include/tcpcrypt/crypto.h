/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of cryptographic operations that a session is given. The protocol
 * core calls nothing else, so that the same core runs over any backend and, in
 * tests, over frozen randomness. The backends in crypto/ are OpenSSL 3 libcrypto and
 * what is faster for some of it.
 *
 * All functions return 0 or a negative enum tcpcrypt_error. A table is constant
 * and may be shared by threads; contexts made by it belong to one thread at a time.
 */
#ifndef TCPCRYPT_CRYPTO_H
#define TCPCRYPT_CRYPTO_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TCPCRYPT_HASH_LEN	   32 /* SHA-256, the hash of every TEP of RFC 8548 */
#define TCPCRYPT_AEAD_KEY_MAX	   32
#define TCPCRYPT_AEAD_NONCE_LEN	   12 /* ae_nonce_len of every AEAD of RFC 8548 */
#define TCPCRYPT_AEAD_TAG_LEN	   16
#define TCPCRYPT_PUBLIC_KEY_MAX	   69 /* P-521: two-byte length, compressed point */
#define TCPCRYPT_SHARED_SECRET_MAX 66 /* P-521: x coordinate */

/* An AEAD keyed for one direction, and an ephemeral key pair; the backend's own. */
struct tcpcrypt_aead;
struct tcpcrypt_keypair;

/* One piece of a message that lies in several places. */
struct tcpcrypt_span {
	const uint8_t *data;
	size_t len;
};

struct tcpcrypt_crypto {
	/* Fills out with len cryptographically secure random bytes (8548-8-4). */
	int (*random)(uint8_t *out, size_t len);

	/* HMAC-SHA-256 over the concatenation of n spans. */
	int (*hmac)(const uint8_t *key, size_t key_len, const struct tcpcrypt_span *spans,
		    size_t n, uint8_t out[TCPCRYPT_HASH_LEN]);

	/*
	 * Key agreement. tep is a TEP identifier (0x21..0x24). keypair_new makes an
	 * ephemeral pair; public_key writes it exactly as Pub_A/Pub_B stand in an Init
	 * message (RFC 8548 section 5), at most TCPCRYPT_PUBLIC_KEY_MAX bytes. agree
	 * validates the peer's key, given in the same encoding, and writes ES;
	 * TCPCRYPT_E_BAD_KEY when validation fails (8548-5-3, 8548-5-5).
	 * keypair_free wipes the private key and accepts NULL.
	 */
	int (*keypair_new)(uint8_t tep, struct tcpcrypt_keypair **ret);
	int (*public_key)(const struct tcpcrypt_keypair *pair,
			  uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX], size_t *ret_len);
	int (*agree)(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t peer_len,
		     uint8_t out[TCPCRYPT_SHARED_SECRET_MAX], size_t *ret_len);
	void (*keypair_free)(struct tcpcrypt_keypair *pair);

	/*
	 * AEAD by its RFC 8548 identifier (TCPCRYPT_AEAD_*). aead_new allocates a
	 * context once per direction; aead_set_key rekeys it without allocating.
	 * seal and open work in place on len bytes of data; the tag is apart. seal goes on with
	 * text, unless that is NULL: it is only read, and goes, sealed, behind data's len bytes,
	 * where there is room for it; the tag is of both.
	 * open gives TCPCRYPT_E_AUTH and leaves the bytes unspecified when the tag is
	 * wrong. aead_free wipes the key and accepts NULL.
	 */
	int (*aead_new)(uint16_t aead, struct tcpcrypt_aead **ret);
	int (*aead_set_key)(struct tcpcrypt_aead *ctx, const uint8_t *key);
	int (*aead_seal)(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
			 const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
			 const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN]);
	int (*aead_open)(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
			 const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
			 const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN]);
	void (*aead_free)(struct tcpcrypt_aead *ctx);
};

/*
 * The OpenSSL 3 backend. Fetches every algorithm once; NULL when libcrypto lacks
 * one that RFC 8548 requires or has no randomness. Never freed. Thread-safe.
 */
const struct tcpcrypt_crypto *tcpcrypt_crypto_openssl(void);

/*
 * The same, with AES-GCM by Intel's multi-buffer crypto library, X25519 by libsodium and HMAC by nettle
 * where they were there when tcpcrypt was built and the machine has the instructions, which is faster.
 * What sockets use. NULL where tcpcrypt_crypto_openssl() is. Never freed. Thread-safe.
 */
const struct tcpcrypt_crypto *tcpcrypt_crypto_fastest(void);

#ifdef __cplusplus
}
#endif
#endif
