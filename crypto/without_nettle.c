// SPDX-License-Identifier: BSD-2-Clause
/* Built where nettle is not to be had. */
#include "crypto/fastest.h"

struct crypto_backend nettle_use(struct tcpcrypt_crypto *table)
{
	return (struct crypto_backend){ "OpenSSL", "built without nettle" };
}
