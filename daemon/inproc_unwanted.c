// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_unwanted.h"

#include <string.h>

static bool is_end(const struct shared_endpoint *a, const struct shared_endpoint *b)
{
	return a->port == b->port && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

bool unwanted_is(const struct shared_tuple *a, const struct shared_tuple *b)
{
	return is_end(&a->local, &b->local) && is_end(&a->remote, &b->remote);
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
