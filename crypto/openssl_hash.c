/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/openssl.h"

/* HMAC with its digest set and no key: copying it looks nothing up. */
static EVP_MAC_CTX *hmac_template;

int openssl_hash_fetch(void)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};
	EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);

	if (mac)
		hmac_template = EVP_MAC_CTX_new(mac);
	EVP_MAC_free(mac);
	if (!hmac_template || EVP_MAC_CTX_set_params(hmac_template, params) != 1)
		return TCPCRYPT_E_CRYPTO;
	return 0;
}

int openssl_hmac(const uint8_t *key, size_t key_len, const struct tcpcrypt_span *spans, size_t n,
		 uint8_t out[TCPCRYPT_HASH_LEN])
{
	EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(hmac_template);
	size_t len;
	int ok;

	if (!ctx)
		return TCPCRYPT_E_NOMEM;
	ok = EVP_MAC_init(ctx, key, key_len, NULL);
	for (size_t i = 0; ok == 1 && i < n; i++) {
		if (spans[i].len)
			ok = EVP_MAC_update(ctx, spans[i].data, spans[i].len);
	}
	if (ok == 1)
		ok = EVP_MAC_final(ctx, out, &len, TCPCRYPT_HASH_LEN);
	EVP_MAC_CTX_free(ctx);
	if (ok == 1 && len == TCPCRYPT_HASH_LEN)
		return 0;
	ERR_clear_error();
	return TCPCRYPT_E_CRYPTO;
}
