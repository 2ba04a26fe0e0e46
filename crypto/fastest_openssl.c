// SPDX-License-Identifier: BSD-2-Clause
/* Built where Intel's multi-buffer library is not to be had. */
#include "crypto/ipsecmb.h"

const struct tcpcrypt_crypto *crypto_fastest(void)
{
	return tcpcrypt_crypto_openssl();
}
