// SPDX-License-Identifier: BSD-2-Clause
/* Built where Intel's multi-buffer library is not to be had. */
#include "crypto/fastest.h"

struct crypto_backend ipsecmb_use(struct tcpcrypt_crypto *table)
{
	return (struct crypto_backend){ "OpenSSL", "built without libipsec-mb" };
}
