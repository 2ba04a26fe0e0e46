// SPDX-License-Identifier: BSD-2-Clause
/* Built where GMP is not to be had. */
#include <sodium.h>

#include <tcpcrypt/error.h>

#include "crypto/x25519_base.h"

int x25519_base(uint8_t ret_public[X25519_LEN], const uint8_t private[X25519_LEN])
{
	return crypto_scalarmult_curve25519_base(ret_public, private) ? TCPCRYPT_E_CRYPTO : 0;
}
