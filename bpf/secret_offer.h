/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What connect() of a program that encrypts by itself offers to resume with. Included by
 * connect.bpf.c only.
 */
#ifndef BPF_SECRET_OFFER_H
#define BPF_SECRET_OFFER_H

#include "bpf/eno_options.h"
#include "bpf/flushing.h"
#include "bpf/secret.h"

#define OFFER_TRIES 8 /* for those that were taken back, or forgotten, meanwhile */

/* Takes the next secret for this host and port: *ret_slot, and its token, or 0. */
static __noinline __u64 offer_take(struct shared_offers_key *key, __u32 *ret_slot)
{
	struct shared_offers *ring;
	struct shared_claim *claim;
	__u64 head, token;
	__u32 *index;

	if (!key || !ret_slot)
		return 0;
	index = bpf_map_lookup_elem(&offers_to, key);
	ring = index ? bpf_map_lookup_elem(&offers, index) : NULL;
	if (!ring)
		return 0;
	for (int i = 0; i < OFFER_TRIES; i++) {
		head = *(volatile __u64 *)&ring->head;
		if (head == *(volatile __u64 *)&ring->tail)
			return 0;
		/* Before the place can be used anew. */
		token = *(volatile __u64 *)&ring->offer[head & (SHARED_OFFERS - 1)].token;
		*ret_slot = *(volatile __u32 *)&ring->offer[head & (SHARED_OFFERS - 1)].claim;
		if (__sync_val_compare_and_swap(&ring->head, head, head + 1) != head || !token)
			continue;
		claim = bpf_map_lookup_elem(&claims, ret_slot);
		if (!claim || __sync_val_compare_and_swap(&claim->state, token,
							  SHARED_CLAIMED | token) != token)
			continue;
		claim->since = bpf_ktime_get_ns() / 1000000000;
		return token;
	}
	return 0;
}

/* 8548-3.5-16: the SYN has the TEP's suboption alone, and behind it, for want of a length the last
 * of all, this host's half of the identifier and the nonce (8548-3.5-1). */
static __noinline int offer_write(struct eno_sock *sock, const struct shared_secret *s,
				  __u32 nonce_len)
{
	__u32 at = 2, own = 0, theirs = SHARED_HALF_LEN;
	__u8 nonce[SHARED_NONCE_MAX];

	if (!sock || !s || nonce_len > SHARED_NONCE_MAX)
		return 0;
	__builtin_memcpy(sock->fresh, sock->own, sizeof(sock->fresh));
	__builtin_memcpy(sock->fresh_teps, sock->teps, sizeof(sock->fresh_teps));
	sock->fresh_len = sock->own_len;
	if (sock->own[2] < ENO_TEP_FIRST)
		at++;
	sock->own[at++] = s->tep | ENO_V;
	if (s->original_role) {
		own = SHARED_HALF_LEN;
		theirs = 0;
	}
	for (__u32 i = 0; i < SHARED_HALF_LEN; i++) {
		sock->own[(at + i) & 31] = s->identifier[own + i];
		sock->peer_half.bytes[i] = s->identifier[theirs + i];
	}
	at += SHARED_HALF_LEN;
	__builtin_memcpy(nonce, s->nonce, sizeof(nonce));
	nonce_stir(nonce);
	for (__u32 i = 0; i < SHARED_NONCE_MAX; i++)
		sock->own[(at + i) & 31] = i < nonce_len ? nonce[i] : 0;
	at += nonce_len;
	sock->own[1] = at;
	sock->own_len = at;
	sock->nonce_len = nonce_len;
	sock->peer_half.tep = s->tep;
	__builtin_memset(sock->teps, 0, sizeof(sock->teps));
	sock->teps[0] = s->tep;
	return 0;
}

/* Lets the socket's SYN offer to resume, if there is a session with that host and port. */
static __noinline int offer_resumption(struct eno_sock *sock, const struct shared_wishes *w,
				       const struct shared_endpoint *dst)
{
	struct shared_offers_key key = {};
	struct shared_secret *s;
	__u32 slot = 0;
	__u64 token;

	if (!sock || !w || !dst || !sock->own_len)
		return 0;
	/* 8548-3.5-27; and who has a list of algorithms is not given others by way of an old
	 * session. */
	if (w->inproc < SHARED_INPROC_RESUMES || w->cache_flush || w->teps.set || w->aconf.set)
		return 0;
	if (is_flushing())
		return 0;
	key.uid = bpf_get_current_uid_gid();
	key.peer = *dst;
	token = offer_take(&key, &slot);
	s = token ? secret_get(slot, token) : NULL;
	if (!s || s->uid != key.uid)
		return 0;
	sock->resumed_slot = slot;
	sock->resumed_token = token;
	offer_write(sock, s, w->nonce_len);
	return 0;
}

#endif
