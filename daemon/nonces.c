// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/nonces.h"

#include <string.h>
#include <time.h>

/* What was made ahead is in both of two clones of a machine; the moment is not. Its lowest bytes stand
 * first, and are sent. */
static void stir(uint8_t *nonce, size_t len)
{
	struct timespec ts;
	uint64_t now;

	clock_gettime(CLOCK_REALTIME, &ts);
	now = (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
	for (size_t i = 0; i < len; i++)
		nonce[i] ^= (uint8_t)(now >> (8 * i));
}

int nonces_take(struct nonces *n, const struct tcpcrypt_crypto *crypto, uint8_t *out, size_t len)
{
	int error;

	if (!n->left) {
		error = crypto->random(n->bytes[0], sizeof(n->bytes));
		if (error)
			return error;
		n->left = NONCES_AHEAD;
	}
	n->left--;
	memcpy(out, n->bytes[n->left], len);
	memset(n->bytes[n->left], 0, SHARED_NONCE_MAX);
	stir(out, len);
	return 0;
}
