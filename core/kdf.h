/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key schedule of RFC 8548 section 3.3 and 3.4 over HKDF-SHA-256 (section 3.1). Pure
 * functions; 0 or the backend's error. Outputs are complete or, on error, unspecified.
 */
#ifndef CORE_KDF_H
#define CORE_KDF_H

#include "core/wire.h"

/* The four pieces of the input keying material, as transmitted (8547-4.8-2). */
struct kdf_exchange {
	struct tcpcrypt_span transcript;
	struct tcpcrypt_span init1, init2; /* whole messages, ignored bytes included */
	struct tcpcrypt_span es;
	const uint8_t *nonce_a; /* WIRE_NONCE_LEN bytes */
};

/* CPRF(key, constant | suffix, len), len at most 255 hashes. */
int kdf_expand(const struct tcpcrypt_crypto *crypto, const uint8_t key[static WIRE_K_LEN],
	       uint8_t constant, struct tcpcrypt_span suffix, uint8_t *out, size_t len);

/* PRK, which is ss[0]. */
int kdf_extract(const struct tcpcrypt_crypto *crypto, const struct kdf_exchange *exchange,
		uint8_t prk[static WIRE_K_LEN]);

/* ss[i+1] from ss[i]. */
int kdf_next_secret(const struct tcpcrypt_crypto *crypto, const uint8_t ss[static WIRE_K_LEN],
		    uint8_t next[static WIRE_K_LEN]);

/* mk[0] from ss[i] and sn[i], which is empty in a fresh session. */
int kdf_first_master(const struct tcpcrypt_crypto *crypto, const uint8_t ss[static WIRE_K_LEN],
		     struct tcpcrypt_span sn, uint8_t mk[static WIRE_K_LEN]);

/* mk[j+1] from mk[j]. */
int kdf_next_master(const struct tcpcrypt_crypto *crypto, const uint8_t mk[static WIRE_K_LEN],
		    uint8_t next[static WIRE_K_LEN]);

/* k_ab[j] or k_ba[j], by label WIRE_CONST_KEY_A or _B; len is ae_key_len + ae_nonce_len. */
int kdf_traffic_key(const struct tcpcrypt_crypto *crypto, const uint8_t mk[static WIRE_K_LEN],
		    uint8_t label, uint8_t *out, size_t len);

int kdf_session_id(const struct tcpcrypt_crypto *crypto, uint8_t tep_byte,
		   const uint8_t ss[static WIRE_K_LEN], struct tcpcrypt_span sn,
		   uint8_t id[static TCPCRYPT_SESSION_ID_LEN]);

#endif
