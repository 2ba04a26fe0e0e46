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

/* The library's functions for one length of key. */
struct gcm {
	aes_gcm_pre_t pre;
	aes_gcm_enc_dec_t seal, open;
	aes_gcm_init_t begin; /* and these, to seal by pieces */
	aes_gcm_enc_dec_update_t seal_piece;
	aes_gcm_enc_dec_finalize_t seal_end;
};

/* What struct tcpcrypt_aead is in this backend. */
struct mb_aead {
	struct gcm_key_data key; /* first: it wants the allocation's alignment */
	const struct gcm *gcm;
	/* An AEAD that this library does not do better. */
	struct tcpcrypt_aead *other;
};

#define MB_ALIGNMENT 64

/* Constant after the start. */
static struct gcm gcm_128, gcm_256;
static struct tcpcrypt_crypto others;

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
	if (aead == TCPCRYPT_AEAD_AES_128_GCM)
		a->gcm = &gcm_128;
	else if (aead == TCPCRYPT_AEAD_AES_256_GCM)
		a->gcm = &gcm_256;
	else
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
	a->gcm->pre(key, &a->key);
	return 0;
}

static int mb_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		   const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		   const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	struct mb_aead *a = mb_of(ctx);
	const struct gcm *gcm = a->gcm;
	struct gcm_context_data state;

	if (a->other)
		return others.aead_seal(a->other, nonce, aad, aad_len, data, len, text, tag);
	if (!text) {
		gcm->seal(&a->key, &state, data, data, len, nonce, aad, aad_len, tag,
			  TCPCRYPT_AEAD_TAG_LEN);
	} else {
		gcm->begin(&a->key, &state, nonce, aad, aad_len);
		gcm->seal_piece(&a->key, &state, data, data, len);
		gcm->seal_piece(&a->key, &state, data + len, text->data, text->len);
		gcm->seal_end(&a->key, &state, tag, TCPCRYPT_AEAD_TAG_LEN);
	}
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
	a->gcm->open(&a->key, &state, data, data, len, nonce, aad, aad_len, computed,
		     sizeof(computed));
	OPENSSL_cleanse(&state, sizeof(state));
	return CRYPTO_memcmp(computed, tag, sizeof(computed)) ? TCPCRYPT_E_AUTH : 0;
}

static void functions_take(const IMB_MGR *m)
{
	gcm_128 = (struct gcm){ m->gcm128_pre,	m->gcm128_enc,	      m->gcm128_dec,
				m->gcm128_init, m->gcm128_enc_update, m->gcm128_enc_finalize };
	gcm_256 = (struct gcm){ m->gcm256_pre,	m->gcm256_enc,	      m->gcm256_dec,
				m->gcm256_init, m->gcm256_enc_update, m->gcm256_enc_finalize };
}

struct crypto_backend ipsecmb_use(struct tcpcrypt_crypto *table)
{
	IMB_MGR *manager = alloc_mb_mgr(0);

	if (!manager)
		return (struct crypto_backend){ "OpenSSL", "libipsec-mb failed to start" };
	init_mb_mgr_auto(manager, NULL);
	if ((manager->features & NEEDED) != NEEDED || imb_get_errno(manager)) {
		free_mb_mgr(manager);
		return (struct crypto_backend){ "OpenSSL",
						"the CPU lacks AES-NI, PCLMULQDQ or AVX2" };
	}
	functions_take(manager);
	free_mb_mgr(manager);
	others = *table;
	table->aead_new = mb_new;
	table->aead_set_key = mb_set_key;
	table->aead_seal = mb_seal;
	table->aead_open = mb_open;
	table->aead_free = mb_free;
	return (struct crypto_backend){ "libipsec-mb", "the CPU has AES-NI, PCLMULQDQ and AVX2" };
}
