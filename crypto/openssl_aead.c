/* SPDX-License-Identifier: BSD-2-Clause */
#include <limits.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/openssl.h"

/* 8548-6-1: the two GCMs and ChaCha20-Poly1305. */
static struct {
	const uint16_t aead;
	const char *const name;
	EVP_CIPHER *cipher;
} ciphers[] = {
	{ TCPCRYPT_AEAD_AES_128_GCM, "AES-128-GCM", NULL },
	{ TCPCRYPT_AEAD_AES_256_GCM, "AES-256-GCM", NULL },
	{ TCPCRYPT_AEAD_CHACHA20_POLY1305, "ChaCha20-Poly1305", NULL },
};

#define N_CIPHERS (sizeof(ciphers) / sizeof(ciphers[0]))

/* One context serves either direction: the key is loaded once, only the nonce per frame. */
struct tcpcrypt_aead {
	EVP_CIPHER_CTX *ctx;
};

int openssl_aead_fetch(void)
{
	for (size_t i = 0; i < N_CIPHERS; i++) {
		ciphers[i].cipher = EVP_CIPHER_fetch(NULL, ciphers[i].name, NULL);
		if (!ciphers[i].cipher ||
		    EVP_CIPHER_get_iv_length(ciphers[i].cipher) != TCPCRYPT_AEAD_NONCE_LEN)
			return TCPCRYPT_E_CRYPTO;
	}
	return 0;
}

static const EVP_CIPHER *find(uint16_t aead)
{
	for (size_t i = 0; i < N_CIPHERS; i++) {
		if (ciphers[i].aead == aead)
			return ciphers[i].cipher;
	}
	return NULL;
}

static int failed(int error)
{
	ERR_clear_error();
	return error;
}

int openssl_aead_new(uint16_t aead, struct tcpcrypt_aead **ret)
{
	const EVP_CIPHER *cipher = find(aead);
	struct tcpcrypt_aead *ctx;

	if (!cipher)
		return TCPCRYPT_E_ARGUMENT;
	ctx = calloc(1, sizeof(*ctx));
	if (!ctx)
		return TCPCRYPT_E_NOMEM;
	ctx->ctx = EVP_CIPHER_CTX_new();
	if (!ctx->ctx || EVP_EncryptInit_ex2(ctx->ctx, cipher, NULL, NULL, NULL) != 1) {
		openssl_aead_free(ctx);
		return failed(TCPCRYPT_E_NOMEM);
	}
	*ret = ctx;
	return 0;
}

int openssl_aead_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key)
{
	/* Naming no cipher keeps the context, and with it its memory. */
	if (EVP_EncryptInit_ex2(ctx->ctx, NULL, key, NULL, NULL) != 1)
		return failed(TCPCRYPT_E_CRYPTO);
	return 0;
}

int openssl_aead_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		      const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		      const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	uint8_t nothing[EVP_MAX_BLOCK_LENGTH];
	int n;

	if (len > INT_MAX || aad_len > INT_MAX || (text && text->len > INT_MAX))
		return TCPCRYPT_E_ARGUMENT;
	if (EVP_EncryptInit_ex2(ctx->ctx, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_EncryptUpdate(ctx->ctx, NULL, &n, aad, (int)aad_len) != 1 ||
	    (len && EVP_EncryptUpdate(ctx->ctx, data, &n, data, (int)len) != 1) ||
	    (text &&
	     EVP_EncryptUpdate(ctx->ctx, data + len, &n, text->data, (int)text->len) != 1) ||
	    EVP_EncryptFinal_ex(ctx->ctx, nothing, &n) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx->ctx, EVP_CTRL_AEAD_GET_TAG, TCPCRYPT_AEAD_TAG_LEN, tag) != 1)
		return failed(TCPCRYPT_E_CRYPTO);
	return 0;
}

int openssl_aead_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		      const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		      const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	uint8_t nothing[EVP_MAX_BLOCK_LENGTH], expected[TCPCRYPT_AEAD_TAG_LEN];
	int n;

	if (len > INT_MAX || aad_len > INT_MAX)
		return TCPCRYPT_E_ARGUMENT;
	memcpy(expected, tag, sizeof(expected));
	if (EVP_DecryptInit_ex2(ctx->ctx, NULL, NULL, nonce, NULL) != 1 ||
	    EVP_CIPHER_CTX_ctrl(ctx->ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(expected), expected) != 1 ||
	    EVP_DecryptUpdate(ctx->ctx, NULL, &n, aad, (int)aad_len) != 1 ||
	    (len && EVP_DecryptUpdate(ctx->ctx, data, &n, data, (int)len) != 1))
		return failed(TCPCRYPT_E_CRYPTO);
	if (EVP_DecryptFinal_ex(ctx->ctx, nothing, &n) != 1)
		return failed(TCPCRYPT_E_AUTH);
	return 0;
}

void openssl_aead_free(struct tcpcrypt_aead *ctx)
{
	if (!ctx)
		return;
	EVP_CIPHER_CTX_free(ctx->ctx); /* cleanses the key schedule */
	free(ctx);
}
