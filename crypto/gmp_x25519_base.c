// SPDX-License-Identifier: BSD-2-Clause
/*
 * Of the base point of the Edwards curve libsodium has a table of multiples, of that of the
 * Montgomery curve none: by way of the first a public key takes two thirds of the time. The way back,
 * u = (1 + y) / (1 - y) (RFC 7748 section 4.1), has only public numbers, so its time may depend on
 * them.
 */
#include <gmp.h>
#include <sodium.h>

#include <tcpcrypt/error.h>

#include "crypto/x25519_base.h"

#define LIMB_LEN (GMP_NUMB_BITS / 8)
#define LIMBS	 (X25519_LEN / LIMB_LEN)

_Static_assert(GMP_NAIL_BITS == 0 && X25519_LEN % LIMB_LEN == 0, "32 bytes are whole limbs");

static void number_read(mp_limb_t ret[LIMBS], const uint8_t bytes[X25519_LEN])
{
	mpn_zero(ret, LIMBS);
	for (int i = 0; i < X25519_LEN; i++)
		ret[i / LIMB_LEN] |= (mp_limb_t)bytes[i] << 8 * (i % LIMB_LEN);
}

static void number_write(uint8_t ret[X25519_LEN], const mp_limb_t number[LIMBS])
{
	for (int i = 0; i < X25519_LEN; i++)
		ret[i] = number[i / LIMB_LEN] >> 8 * (i % LIMB_LEN);
}

/* 2^255 - 19 */
static void prime_set(mp_limb_t ret[LIMBS])
{
	uint8_t bytes[X25519_LEN] = { 0xed };

	for (int i = 1; i < X25519_LEN; i++)
		bytes[i] = i == X25519_LEN - 1 ? 0x7f : 0xff;
	number_read(ret, bytes);
}

/* 1 / (1 - y), which y = 1 does not have: the neutral element. */
static int inverse(mp_limb_t ret[LIMBS], const mp_limb_t y[LIMBS], const mp_limb_t p[LIMBS])
{
	mp_limb_t divisor[LIMBS], modulus[LIMBS], gcd[LIMBS], cofactor[LIMBS + 1] = { 0 };
	mp_size_t n;

	/* 2p + 1 - y has the same remainder, and is not shorter than p. */
	mpn_add_n(divisor, p, p, LIMBS);
	mpn_add_1(divisor, divisor, LIMBS, 1);
	mpn_sub_n(divisor, divisor, y, LIMBS);
	mpn_copyi(modulus, p, LIMBS);
	if (mpn_gcdext(gcd, cofactor, &n, divisor, LIMBS, modulus, LIMBS) != 1 || gcd[0] != 1)
		return TCPCRYPT_E_CRYPTO;
	for (mp_size_t i = n < 0 ? -n : n; i < LIMBS; i++)
		cofactor[i] = 0;
	if (n < 0)
		mpn_sub_n(ret, p, cofactor, LIMBS);
	else
		mpn_copyi(ret, cofactor, LIMBS);
	return 0;
}

int x25519_base(uint8_t ret_public[X25519_LEN], const uint8_t private[X25519_LEN])
{
	mp_limb_t p[LIMBS], y[LIMBS], inverted[LIMBS], product[2 * LIMBS], quotient[LIMBS + 1];
	uint8_t point[X25519_LEN];

	/* It clamps the private key as X25519 does. */
	if (crypto_scalarmult_ed25519_base(point, private))
		return TCPCRYPT_E_CRYPTO;
	point[X25519_LEN - 1] &= 0x7f; /* of x there is but the sign */
	prime_set(p);
	number_read(y, point);
	if (inverse(inverted, y, p))
		return TCPCRYPT_E_CRYPTO;
	mpn_add_1(y, y, LIMBS, 1);
	mpn_mul_n(product, y, inverted, LIMBS);
	mpn_tdiv_qr(quotient, y, 0, product, 2 * LIMBS, p, LIMBS);
	number_write(ret_public, y);
	return 0;
}
