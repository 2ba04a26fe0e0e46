// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_past.h"

#include <stddef.h>

static struct past_end *place_of(struct past *p, uid_t uid, uint64_t id)
{
	return &p->ends[(id ^ uid * 2654435761u) % PAST_MAX];
}

void past_add(struct past *p, uid_t uid, const struct message *m, bool listed)
{
	*place_of(p, uid, m->id) = (struct past_end){
		.id = m->id,
		.uid = uid,
		.listed = listed,
		.reason = m->reason,
		.bytes_in = m->bytes_in,
		.bytes_out = m->bytes_out,
		.rekeys = m->rekeys,
	};
}

struct past_end *past_find(struct past *p, uid_t uid, uint64_t id)
{
	struct past_end *e = place_of(p, uid, id);

	return id && e->id == id && e->uid == uid ? e : NULL;
}
