/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/aead.h"

/*
 * With distinct nonces an attacker's advantage against GCM is about blocks^2 / 2^129: 2^36
 * bytes are 2^32 blocks, hence 2^-65. ChaCha20-Poly1305 is bounded by forgeries only.
 * 8548-6-1, 8548-6-3, 8548-3.6-1: the three algorithms and their lengths; nothing else is ever
 * agreed on, so nothing weaker (8547-5-4) and not nothing (8547-5-5).
 */
static const struct aead_limits table[] = {
	{ TCPCRYPT_AEAD_AES_128_GCM, 16, 1ull << 36, 1ull << 28, 1ull << 31 },
	{ TCPCRYPT_AEAD_AES_256_GCM, 32, 1ull << 36, 1ull << 28, 1ull << 31 },
	{ TCPCRYPT_AEAD_CHACHA20_POLY1305, 32, 1ull << 40, 1ull << 32, 1ull << 35 },
};

const struct aead_limits *aead_find(uint16_t aead)
{
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].aead == aead)
			return &table[i];
	}
	return NULL;
}
