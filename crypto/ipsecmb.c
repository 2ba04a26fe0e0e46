// SPDX-License-Identifier: BSD-2-Clause
#include "crypto/fastest.h"

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

/* Without them the library emulates, slowly and with tables that leak by timing. */
#define NEEDED (IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_AVX2)

/* What struct tcpcrypt_aead is in this backend. */
struct mb_aead {
	struct gcm_key_data key; /* first: it wants the allocation's alignment */
	uint16_t aead;
	/* An AEAD that this library does not do better. */
	struct tcpcrypt_aead *other;
};

#define MB_ALIGNMENT 64

static IMB_MGR *manager; /* only its function pointers are used: constant after the start */
static struct tcpcrypt_crypto others; /* constant after the start, too */

static struct mb_aead *mb_of(struct tcpcrypt_aead *ctx)
{
	return (struct mb_aead *)(void *)ctx;
}

static void mb_free(struct tcpcrypt_aead *ctx)
{
	struct mb_aead *a = mb_of(ctx);

	if (!a)
		return;
	others.aead_free(a->other);
	OPENSSL_cleanse(a, sizeof(*a));
	free(a);
}

static int mb_new(uint16_t aead, struct tcpcrypt_aead **ret)
{
	size_t size = (sizeof(struct mb_aead) + MB_ALIGNMENT - 1) & ~(size_t)(MB_ALIGNMENT - 1);
	struct mb_aead *a = aligned_alloc(MB_ALIGNMENT, size);
	int error = 0;

	if (!a)
		return TCPCRYPT_E_NOMEM;
	memset(a, 0, sizeof(*a));
	a->aead = aead;
	if (aead != TCPCRYPT_AEAD_AES_128_GCM && aead != TCPCRYPT_AEAD_AES_256_GCM)
		error = others.aead_new(aead, &a->other);
	if (error) {
		free(a);
		return error;
	}
	*ret = (struct tcpcrypt_aead *)(void *)a;
	return 0;
}

static int mb_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key)
{
	struct mb_aead *a = mb_of(ctx);

	if (a->other)
		return others.aead_set_key(a->other, key);
	if (a->aead == TCPCRYPT_AEAD_AES_128_GCM)
		IMB_AES128_GCM_PRE(manager, key, &a->key);
	else
		IMB_AES256_GCM_PRE(manager, key, &a->key);
	return 0;
}

static void seal_128(struct mb_aead *a, struct gcm_context_data *state, const uint8_t *nonce,
		     const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		     const struct tcpcrypt_span *text, uint8_t *tag)
{
	if (!text) {
		IMB_AES128_GCM_ENC(manager, &a->key, state, data, data, len, nonce, aad, aad_len,
				   tag, TCPCRYPT_AEAD_TAG_LEN);
		return;
	}
	IMB_AES128_GCM_INIT(manager, &a->key, state, nonce, aad, aad_len);
	IMB_AES128_GCM_ENC_UPDATE(manager, &a->key, state, data, data, len);
	IMB_AES128_GCM_ENC_UPDATE(manager, &a->key, state, data + len, text->data, text->len);
	IMB_AES128_GCM_ENC_FINALIZE(manager, &a->key, state, tag, TCPCRYPT_AEAD_TAG_LEN);
}

static void seal_256(struct mb_aead *a, struct gcm_context_data *state, const uint8_t *nonce,
		     const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		     const struct tcpcrypt_span *text, uint8_t *tag)
{
	if (!text) {
		IMB_AES256_GCM_ENC(manager, &a->key, state, data, data, len, nonce, aad, aad_len,
				   tag, TCPCRYPT_AEAD_TAG_LEN);
		return;
	}
	IMB_AES256_GCM_INIT(manager, &a->key, state, nonce, aad, aad_len);
	IMB_AES256_GCM_ENC_UPDATE(manager, &a->key, state, data, data, len);
	IMB_AES256_GCM_ENC_UPDATE(manager, &a->key, state, data + len, text->data, text->len);
	IMB_AES256_GCM_ENC_FINALIZE(manager, &a->key, state, tag, TCPCRYPT_AEAD_TAG_LEN);
}

static int mb_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		   const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		   const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct mb_aead *a = mb_of(ctx);
	struct gcm_context_data state;

	if (a->other)
		return others.aead_seal(a->other, nonce, aad, aad_len, data, len, text, tag);
	if (a->aead == TCPCRYPT_AEAD_AES_128_GCM)
		seal_128(a, &state, nonce, aad, aad_len, data, len, text, tag);
	else
		seal_256(a, &state, nonce, aad, aad_len, data, len, text, tag);
	OPENSSL_cleanse(&state, sizeof(state));
	return 0;
}

static int mb_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		   const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		   const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct mb_aead *a = mb_of(ctx);
	uint8_t computed[TCPCRYPT_AEAD_TAG_LEN];
	struct gcm_context_data state;

	if (a->other)
		return others.aead_open(a->other, nonce, aad, aad_len, data, len, tag);
	if (a->aead == TCPCRYPT_AEAD_AES_128_GCM)
		IMB_AES128_GCM_DEC(manager, &a->key, &state, data, data, len, nonce, aad, aad_len,
				   computed, sizeof(computed));
	else
		IMB_AES256_GCM_DEC(manager, &a->key, &state, data, data, len, nonce, aad, aad_len,
				   computed, sizeof(computed));
	OPENSSL_cleanse(&state, sizeof(state));
	return CRYPTO_memcmp(computed, tag, sizeof(computed)) ? TCPCRYPT_E_AUTH : 0;
}

struct crypto_backend ipsecmb_use(struct tcpcrypt_crypto *table)
{
	manager = alloc_mb_mgr(0);
	if (!manager)
		return (struct crypto_backend){ "OpenSSL", "libipsec-mb failed to start" };
	init_mb_mgr_auto(manager, NULL);
	if ((manager->features & NEEDED) != NEEDED || imb_get_errno(manager)) {
		free_mb_mgr(manager);
		return (struct crypto_backend){ "OpenSSL",
						"the CPU lacks AES-NI, PCLMULQDQ or AVX2" };
	}
	others = *table;
	table->aead_new = mb_new;
	table->aead_set_key = mb_set_key;
	table->aead_seal = mb_seal;
	table->aead_open = mb_open;
	table->aead_free = mb_free;
	return (struct crypto_backend){ "libipsec-mb", "the CPU has AES-NI, PCLMULQDQ and AVX2" };
}
