/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What sockets offer whose program encrypts by itself. Kernel side. */
#ifndef BPF_INPROC_H
#define BPF_INPROC_H

#include "bpf/maps.h"

/*
 * Writes the active opener's SYN-form option: the host's TEPs, or those that the program wishes,
 * in reverse preference (RFC 8547 section 4.5: the last one is wanted most).
 */
static __always_inline void inproc_offer(const struct shared_settings *s,
					 const struct shared_wishes *w, struct eno_sock *sock)
{
	__u8 global = w->self_gopt ? w->self_gopt & ~ENO_GLOBAL_B : s->global;
	__u32 at = 2;

	sock->mandatory_app_aware = s->mandatory_app_aware || w->aa_mandatory;
	if (sock->mandatory_app_aware)
		global |= ENO_GLOBAL_A;
	sock->own[0] = ENO_KIND;
	if (global)
		sock->own[at++] = global;
	for (int i = SHARED_TEPS_MAX - 1; i >= 0; i--) {
		__u8 tep = w->teps.set ? (i < w->teps.len ? w->teps.bytes[i] & ENO_GLT : 0)
				       : s->teps[i];

		sock->teps[i] = tep;
		if (tep)
			sock->own[at++ & 31] = tep;
	}
	sock->own[1] = at;
	/* No TEP, no option. */
	sock->own_len = at > (global ? 3u : 2u) ? at : 0;
}

#endif
