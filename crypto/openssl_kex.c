/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/openssl.h"

#define POINT_COMPRESSED_EVEN 0x02
#define POINT_COMPRESSED_ODD  0x03
#define POINT_UNCOMPRESSED    0x04
#define COORDINATE_MAX	      66 /* P-521 */

/* Section 5 of RFC 8548 and table 4, as libcrypto knows it. */
struct scheme {
	uint8_t tep;
	bool nist; /* keys are compressed points behind their length */
	int nid;
	const char *name;      /* of the algorithm, or of the curve */
	size_t coordinate_len; /* of the key, or of a NIST point's x */
};

/* 8548-5-7, 8548-5-9, 8548-8.3-1 */
static const struct scheme schemes[] = {
	{ TCPCRYPT_TEP_P256, true, NID_X9_62_prime256v1, "P-256", 32 },
	{ TCPCRYPT_TEP_P521, true, NID_secp521r1, "P-521", 66 },
	{ TCPCRYPT_TEP_X25519, false, NID_X25519, "X25519", 32 },
	{ TCPCRYPT_TEP_X448, false, NID_X448, "X448", 56 },
};

struct tcpcrypt_keypair {
	const struct scheme *scheme;
	EVP_PKEY *key;
};

static int failed(int error)
{
	ERR_clear_error();
	return error;
}

static const struct scheme *find(uint8_t tep)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (schemes[i].tep == tep)
			return &schemes[i];
	}
	return NULL;
}

static EVP_PKEY *generate(const struct scheme *scheme)
{
	return scheme->nist ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", scheme->name)
			    : EVP_PKEY_Q_keygen(NULL, NULL, scheme->name);
}

/* libcrypto caches what the first use of an algorithm fetched; a missing one shows here. */
int openssl_kex_fetch(void)
{
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		EVP_PKEY *key = generate(&schemes[i]);

		if (!key)
			return TCPCRYPT_E_CRYPTO;
		EVP_PKEY_free(key);
	}
	return 0;
}

static int wrap(const struct scheme *scheme, EVP_PKEY *key, struct tcpcrypt_keypair **ret)
{
	struct tcpcrypt_keypair *pair;

	if (!key)
		return failed(TCPCRYPT_E_CRYPTO);
	pair = malloc(sizeof(*pair));
	if (!pair) {
		EVP_PKEY_free(key);
		return TCPCRYPT_E_NOMEM;
	}
	*pair = (struct tcpcrypt_keypair){ scheme, key };
	*ret = pair;
	return 0;
}

int openssl_keypair_new(uint8_t tep, struct tcpcrypt_keypair **ret)
{
	const struct scheme *scheme = find(tep);

	return scheme ? wrap(scheme, generate(scheme), ret) : TCPCRYPT_E_ARGUMENT;
}

void openssl_keypair_free(struct tcpcrypt_keypair *pair)
{
	if (!pair)
		return;
	EVP_PKEY_free(pair->key); /* cleanses the private key */
	free(pair);
}

/* 8548-5-2: the compressed format, made from either that libcrypto may give. */
static int compressed_point(const struct tcpcrypt_keypair *pair, uint8_t *out)
{
	uint8_t point[1 + 2 * COORDINATE_MAX];
	size_t n = pair->scheme->coordinate_len, len;

	if (EVP_PKEY_get_octet_string_param(pair->key, OSSL_PKEY_PARAM_PUB_KEY, point,
					    sizeof(point), &len) != 1)
		return failed(TCPCRYPT_E_CRYPTO);
	if (len == 1 + 2 * n && point[0] == POINT_UNCOMPRESSED)
		point[0] = point[2 * n] & 1 ? POINT_COMPRESSED_ODD : POINT_COMPRESSED_EVEN;
	else if (len != 1 + n)
		return TCPCRYPT_E_CRYPTO;
	memcpy(out, point, 1 + n);
	return 0;
}

int openssl_public_key(const struct tcpcrypt_keypair *pair, uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX],
		       size_t *ret_len)
{
	size_t len = pair->scheme->coordinate_len;
	int r;

	if (pair->scheme->nist) {
		r = compressed_point(pair, out + 2);
		if (r < 0)
			return r;
		out[0] = 0;
		out[1] = (uint8_t)(1 + len);
		*ret_len = 2 + 1 + len;
		return 0;
	}
	if (EVP_PKEY_get_raw_public_key(pair->key, out, &len) != 1)
		return failed(TCPCRYPT_E_CRYPTO);
	*ret_len = len;
	return 0;
}

/*
 * 8548-5-3, D6: exactly a compressed point, on the curve and not infinity. The curves have
 * cofactor 1, so every other point has the right order. Decompression checks x < p.
 */
static EVP_PKEY *import_point(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t len)
{
	size_t point_len = 1 + pair->scheme->coordinate_len;
	EVP_PKEY *key = NULL;
	EVP_PKEY_CTX *check;
	bool valid = false;

	if (len != 2 + point_len || peer[0] != 0 || peer[1] != point_len)
		return NULL;
	if (peer[2] != POINT_COMPRESSED_EVEN && peer[2] != POINT_COMPRESSED_ODD)
		return NULL;
	key = EVP_PKEY_new();
	if (!key || EVP_PKEY_copy_parameters(key, pair->key) != 1 ||
	    EVP_PKEY_set1_encoded_public_key(key, peer + 2, point_len) != 1)
		goto out;
	check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
	valid = check && EVP_PKEY_public_check_quick(check) == 1;
	EVP_PKEY_CTX_free(check);
out:
	if (valid)
		return key;
	EVP_PKEY_free(key);
	return NULL;
}

static EVP_PKEY *import(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t len)
{
	if (pair->scheme->nist)
		return import_point(pair, peer, len);
	if (len != pair->scheme->coordinate_len)
		return NULL;
	return EVP_PKEY_new_raw_public_key_ex(NULL, pair->scheme->name, NULL, peer, len);
}

static bool all_zero(const uint8_t *bytes, size_t len)
{
	uint8_t any = 0;

	for (size_t i = 0; i < len; i++)
		any |= bytes[i];
	return any == 0;
}

/* D7: libcrypto pads x to the field's length, leading zeros kept. */
static int derive(const struct tcpcrypt_keypair *pair, EVP_PKEY *peer, uint8_t *out,
		  size_t *ret_len)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, pair->key, NULL);
	size_t len = TCPCRYPT_SHARED_SECRET_MAX;
	int r = TCPCRYPT_E_CRYPTO;

	if (!ctx || EVP_PKEY_derive_init(ctx) != 1 ||
	    EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) != 1)
		goto out;
	/* 8548-5-4, 8548-5-5, 8548-5-6: libcrypto refuses zero too; this does not rely on it. */
	r = TCPCRYPT_E_BAD_KEY;
	if (EVP_PKEY_derive(ctx, out, &len) != 1 || len != pair->scheme->coordinate_len ||
	    (!pair->scheme->nist && all_zero(out, len)))
		goto out;
	*ret_len = len;
	r = 0;
out:
	EVP_PKEY_CTX_free(ctx);
	return r < 0 ? failed(r) : 0;
}

int openssl_agree(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t peer_len,
		  uint8_t out[TCPCRYPT_SHARED_SECRET_MAX], size_t *ret_len)
{
	EVP_PKEY *peer_key = import(pair, peer, peer_len);
	int r;

	if (!peer_key)
		return failed(TCPCRYPT_E_BAD_KEY);
	r = derive(pair, peer_key, out, ret_len);
	EVP_PKEY_free(peer_key);
	if (r < 0)
		OPENSSL_cleanse(out, TCPCRYPT_SHARED_SECRET_MAX);
	return r;
}

/* A NIST key needs its public point beside the scalar. */
static EVP_PKEY *nist_from_private(const struct scheme *scheme, const uint8_t *bytes, size_t len)
{
	EC_GROUP *group = EC_GROUP_new_by_curve_name(scheme->nid);
	EC_POINT *point = group ? EC_POINT_new(group) : NULL;
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	BIGNUM *scalar = BN_bin2bn(bytes, (int)len, NULL);
	uint8_t public[1 + 2 * COORDINATE_MAX];
	OSSL_PARAM *params = NULL;
	EVP_PKEY *key = NULL;
	size_t n;

	if (!point || !ctx || !build || !scalar ||
	    EC_POINT_mul(group, point, scalar, NULL, NULL, NULL) != 1)
		goto out;
	n = EC_POINT_point2oct(group, point, POINT_CONVERSION_UNCOMPRESSED, public, sizeof(public),
			       NULL);
	if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, scheme->name, 0) &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, scalar) &&
	    OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, public, n))
		params = OSSL_PARAM_BLD_to_param(build);
	if (params && EVP_PKEY_fromdata_init(ctx) == 1)
		EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, params);
out:
	OSSL_PARAM_free(params);
	BN_clear_free(scalar);
	OSSL_PARAM_BLD_free(build);
	EVP_PKEY_CTX_free(ctx);
	EC_POINT_free(point);
	EC_GROUP_free(group);
	return key;
}

int openssl_keypair_from_private(uint8_t tep, const uint8_t *key, size_t len,
				 struct tcpcrypt_keypair **ret)
{
	const struct scheme *scheme = find(tep);

	if (!scheme)
		return TCPCRYPT_E_ARGUMENT;
	return wrap(scheme,
		    scheme->nist
			    ? nist_from_private(scheme, key, len)
			    : EVP_PKEY_new_raw_private_key_ex(NULL, scheme->name, NULL, key, len),
		    ret);
}
