// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_past.h"

#include <stddef.h>

/* The numbers of connections that children end, and of those their parents go on to make, agree in
 * their last digits: all of them count. */
static struct past_set *set_of(struct past *p, uid_t uid, uint64_t id)
{
	return &p->sets[((id ^ uid) * 0x9e3779b97f4a7c15u) >> 32 & (PAST_SETS - 1)];
}

void past_add(struct past *p, uid_t uid, const struct message *m, bool listed)
{
	struct past_set *set = set_of(p, uid, m->id);
	struct past_end *e = past_find(p, uid, m->id);

	if (!e)
		e = &set->ends[set->next++ % PAST_WAYS];
	*e = (struct past_end){
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
	struct past_set *set = set_of(p, uid, id);

	for (size_t i = 0; id && i < PAST_WAYS; i++)
		if (set->ends[i].id == id && set->ends[i].uid == uid)
			return &set->ends[i];
	return NULL;
}
