/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Which secret a SYN names, and whose it is (RFC 8548 section 3.5). The first SYN that names one
 * claims it when it comes in, before there is a request socket, and once: what a SYN has not
 * claimed then it never gets, so that its SYN-ACK comes out the same each time (8547-4.6-4)
 * whatever user space adds meanwhile. What is claimed user space leaves alone. Kernel side.
 */
#ifndef BPF_RESUMPTION_H
#define BPF_RESUMPTION_H

#include "bpf/eno_options.h"
#include "bpf/flushing.h"
#include "bpf/maps.h"
#include "bpf/secret.h"

/* Stands for the SYN: its ends and its sequence number. */
static __always_inline __u64 syn_owner(const struct shared_endpoint *local,
				       const struct shared_endpoint *remote, __be32 seq)
{
	const __u32 *here = (const __u32 *)local, *there = (const __u32 *)remote;
	__u64 hash = 0xcbf29ce484222325ULL ^ seq;

	for (__u32 i = 0; i < sizeof(*local) / sizeof(*here); i++)
		hash = (hash ^ here[i]) * 0x100000001b3ULL;
	for (__u32 i = 0; i < sizeof(*remote) / sizeof(*there); i++)
		hash = (hash ^ there[i]) * 0x100000001b3ULL;
	return hash | SHARED_CLAIMED;
}

static __always_inline struct shared_claim *claim_get(const struct shared_resumption *r)
{
	__u32 slot = r->slot;

	return bpf_map_lookup_elem(&claims, &slot);
}

/* A server that has a list of AEADs is not given another one by way of an old session. */
static __always_inline int aead_wished(const struct shared_wishes *w, __u16 aead)
{
	if (!w || !w->bconf.set)
		return 1;
	for (__u32 i = 0; i + 1 < TCP_ENO_RAW_MAX; i += 2) {
		if (i + 1 >= w->bconf.len)
			break;
		if ((w->bconf.bytes[i] << 8 | w->bconf.bytes[i + 1]) == aead)
			return 1;
	}
	return 0;
}

/* 8548-3.5-27: neither does one that wants no cached secrets. What is a user's is for processes of
 * that user which accept here, and what is the daemon's for the daemon. */
static __always_inline int may_resume(const struct shared_wishes *w,
				      const struct shared_resumption *r,
				      const struct shared_endpoint *here, int inproc)
{
	if (w && (w->cache_flush || (inproc && w->inproc < SHARED_INPROC_RESUMES)))
		return 0;
	if (inproc ? !accepting_for(here, r->uid) : r->uid != SHARED_UID_UNKNOWN)
		return 0;
	return aead_wished(w, r->aead);
}

/* The secret that the SYN behind m names and has claimed as owner, or NULL; the TEP that its
 * suboption has is the secret's. */
static __always_inline struct shared_resumption *resumption_claimed(const struct eno_match *m,
								    __u64 owner)
{
	struct shared_resumption *r;
	struct shared_claim *claim;
	struct shared_half half;

	for (__u32 t = 0; t < SHARED_TEPS_MAX; t++) {
		if (!eno_match_half(m, t, &half))
			continue;
		r = bpf_map_lookup_elem(&resumptions, &half);
		claim = r ? claim_get(r) : NULL;
		if (claim && claim->state == owner)
			return r;
	}
	return NULL;
}

/* 8548-3.5-6, 8548-3.5-7, 8548-3.5-21: takes the secret that the SYN names, if it is there to
 * be taken. */
static __always_inline void resumption_claim(const struct eno_match *m,
					     const struct shared_wishes *w,
					     const struct shared_endpoint *here, int inproc,
					     __u64 owner)
{
	struct shared_resumption *r;
	struct shared_claim *claim;
	struct shared_half half;

	for (__u32 t = 0; t < SHARED_TEPS_MAX; t++) {
		if (!eno_match_half(m, t, &half))
			continue;
		r = bpf_map_lookup_elem(&resumptions, &half);
		claim = r && may_resume(w, r, here, inproc) ? claim_get(r) : NULL;
		if (!claim || is_flushing())
			continue;
		if (__sync_val_compare_and_swap(&claim->state, r->token, owner) != r->token)
			return;
		claim->since = bpf_ktime_get_ns() / 1000000000;
		nonce_stir(r->nonce);
		if (inproc)
			secret_claimed(r->slot, r->token);
		return;
	}
}

#endif
