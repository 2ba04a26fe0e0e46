// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/keypairs.h"

#include <string.h>

void keypairs_set(struct keypairs *k, const struct tcpcrypt_crypto *crypto, uint8_t tep)
{
	keypairs_deinit(k);
	k->crypto = crypto;
	k->tep = tep;
}

bool keypairs_make(struct keypairs *k)
{
	if (!k->crypto || k->n == KEYPAIRS_MAX || k->crypto->keypair_new(k->tep, &k->pairs[k->n]))
		return false;
	return ++k->n < KEYPAIRS_MAX;
}

struct tcpcrypt_keypair *keypairs_take(struct keypairs *k, uint8_t tep)
{
	struct tcpcrypt_keypair *pair;

	if (!k->n || tep != k->tep)
		return NULL;
	pair = k->pairs[--k->n];
	k->pairs[k->n] = NULL;
	return pair;
}

void keypairs_deinit(struct keypairs *k)
{
	while (k->n)
		k->crypto->keypair_free(k->pairs[--k->n]);
	memset(k, 0, sizeof(*k));
}
