/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Noting a server's wishes for the SYN-ACK, which is made where its listener cannot be seen. Kernel
 * side. */
#ifndef BPF_WISHED_H
#define BPF_WISHED_H

#include "bpf/eno_options.h"
#include "bpf/maps.h"

/* How: a flag of bpf_map_update_elem(). Returns the note, in which nothing is left to the settings,
 * or NULL. */
static __always_inline struct shared_wishes *wished_set(const struct shared_tuple *ends,
							const struct shared_wishes *w, __u64 how)
{
	struct shared_settings *s = settings_get();
	struct shared_wishes *copy, *noted;
	__u32 zero = 0;

	copy = bpf_map_lookup_elem(&wished_copy, &zero);
	if (!s || !copy)
		return NULL;
	*copy = *w;
	if (bpf_map_update_elem(&wished, ends, copy, how))
		return NULL;
	noted = bpf_map_lookup_elem(&wished, ends);
	if (noted && !noted->teps.set) {
		__builtin_memcpy(noted->teps.bytes, s->teps, sizeof(s->teps));
		noted->teps.len = sizeof(s->teps);
		noted->teps.set = 1;
	}
	return noted;
}

#endif
