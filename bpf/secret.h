/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Resumption by programs that encrypt by themselves: secrets that are in the kernel until a
 * connection has agreed to resume with one, and then go to a process of the user whose they are
 * (RFC 8548 section 3.5). Kernel side.
 */
#ifndef BPF_SECRET_H
#define BPF_SECRET_H

#include "bpf/eno_options.h"
#include "bpf/maps.h"

/* The secret of a claim, if it is still that of the token. */
static __always_inline struct shared_secret *secret_get(__u32 slot, __u64 token)
{
	__u32 index = slot - SHARED_SECRET_FIRST;
	struct shared_secret *s = bpf_map_lookup_elem(&secrets, &index);

	return s && s->token == token ? s : NULL;
}

/*
 * 8548-3.5-2: a nonce was made ahead, and is in both of two clones of a machine; the moment is not,
 * and whoever has the claim is alone with it. Its lowest bytes stand first, and are sent.
 */
static __always_inline void nonce_stir(__u8 nonce[SHARED_NONCE_MAX])
{
	__u64 now = bpf_ktime_get_tai_ns();

	for (__u32 i = 0; i < SHARED_NONCE_MAX; i++)
		nonce[i] ^= now >> (8 * i);
}

/* 8548-3.5-17, 8548-3.5-22 */
static __always_inline void secret_wipe(struct shared_secret *s)
{
	__builtin_memset(s, 0, sizeof(*s));
	barrier_var(s);
}

/* Returns 0 when there is no room. */
static __always_inline int secret_tell(const struct shared_settings *s, __u32 slot)
{
	struct shared_event *e = event_reserve(settings_serving(s).first_slot);

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_SECRET;
	e->value = slot;
	event_submit(e, settings_serving(s).first_slot);
	return 1;
}

/* A SYN has taken it. That the two ends then agree, as they do, is no news. */
static __always_inline void secret_claimed(__u32 slot, __u64 token)
{
	struct shared_settings *settings = settings_get();
	struct shared_secret *s = secret_get(slot, token);

	if (settings && s && s->tell && secret_tell(settings, slot))
		s->tell = 0;
}

/* May processes that accept at this end have the user's secrets? */
static __always_inline int accepting_for(const struct shared_endpoint *end, __u32 uid)
{
	const struct shared_endpoint key = *end; /* for Linux 6.1, see DESIGN.md */
	const struct shared_accepting *a = bpf_map_lookup_elem(&accepting, &key);

	return a && a->uid == uid && a->since <= bpf_ktime_get_ns();
}

#endif
