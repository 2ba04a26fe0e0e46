// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_unwanted.h"

#include "daemon/address.h"

bool unwanted_is(const struct shared_tuple *a, const struct shared_tuple *b)
{
	return address_equal(&a->local, &b->local) && address_equal(&a->remote, &b->remote);
}

void unwanted_add(struct unwanted *u, const struct shared_tuple *ends)
{
	struct shared_tuple *place = &u->ends[u->next++ % UNWANTED_MAX];

	u->n += !place->local.port;
	*place = *ends;
}

bool unwanted_take(struct unwanted *u, const struct shared_tuple *ends)
{
	for (size_t i = 0; u->n && i < UNWANTED_MAX; i++) {
		if (!u->ends[i].local.port || !unwanted_is(&u->ends[i], ends))
			continue;
		u->ends[i].local.port = 0;
		u->n--;
		return true;
	}
	return false;
}
