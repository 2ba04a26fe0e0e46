/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ENO in the segments of the daemon's own sockets: what goes into SYNs, SYN-ACKs and ACKs, and
 * what both ends' options decide. Included by sockops.bpf.c only.
 */
#ifndef BPF_SOCKOPS_ENO_H
#define BPF_SOCKOPS_ENO_H

#include "bpf/resumption.h"
#include "bpf/sockops.h"

#define TCP_HEADER_LEN 20
#define TCP_SEQ_AT     4 /* in the header */

/* A SYN-form option to answer with. */
struct eno_answer {
	__u8 bytes[SHARED_OPTION_MAX];
	__u32 len;
	__u32 nonce_len; /* bytes at the end that may be left out for want of room */
	__u32 slot;	 /* of the claim on the secret that it resumes with, */
	__u64 token;	 /* or 0: with a fresh key exchange */
};

#define ANSWER_FRESH_LEN 4 /* kind, length, global suboption, TEP */
/* The options of the segment that the callback is about, straight from its header. */
static __noinline int area_from_segment(struct bpf_sock_ops *ops, struct eno_area *a)
{
	__u8 *data = ops->skb_data;
	__u8 *end = ops->skb_data_end;

	if (!a || data + TCP_HEADER_LEN > end)
		return 0;
	a->len = (data[12] >> 4) * 4 - TCP_HEADER_LEN;
	if (a->len > SHARED_OPTION_MAX)
		return 0;
	data += TCP_HEADER_LEN;
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i += 4) {
		if (i >= a->len || data + i + 4 > end)
			break;
		__builtin_memcpy(a->bytes + i, data + i, 4);
	}
	eno_area_walk(a);
	return 1;
}

/* Decision D15: has the SYN with this header come again without ENO since? */
static __always_inline int is_withdrawn(struct bpf_sock_ops *ops, const __u8 *header)
{
	struct shared_tuple key;
	const __be32 *again;
	__be32 seq;

	tuple_set(&key, ops);
	__builtin_memcpy(&seq, header + TCP_SEQ_AT, sizeof(seq));
	again = bpf_map_lookup_elem(&withdrawn, &key);
	return again && *again == seq;
}

enum syn_state {
	SYN_UNKNOWN, /* there is none: the handshake was made by SYN cookie */
	SYN_READ,
	SYN_WITHDRAWN,
};

/* The options of the SYN that opened the connection: the segment at hand, or the saved one; and
 * its sequence number. */
static __noinline int area_from_syn(struct bpf_sock_ops *ops, struct eno_area *a, __be32 *ret_seq)
{
	__u8 header[TCP_HEADER_LEN + SHARED_OPTION_MAX] = {};
	long len;

	if (!a || !ret_seq)
		return SYN_UNKNOWN;
	len = bpf_getsockopt(ops, SOL_TCP, TCP_BPF_SYN, header, sizeof(header));
	if (len < TCP_HEADER_LEN || len > (long)sizeof(header))
		return SYN_UNKNOWN;
	a->len = len - TCP_HEADER_LEN;
	__builtin_memcpy(ret_seq, header + TCP_SEQ_AT, sizeof(*ret_seq));
	__builtin_memcpy(a->bytes, header + TCP_HEADER_LEN, SHARED_OPTION_MAX);
	eno_area_walk(a);
	return is_withdrawn(ops, header) ? SYN_WITHDRAWN : SYN_READ;
}

static __always_inline void option_keep(const struct eno_area *a, __u8 *to, __u32 *len)
{
	if (a->eno_count != 1 || a->eno_len > SHARED_OPTION_MAX)
		return;
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i++) {
		if (i >= a->eno_len)
			break;
		to[i] = a->bytes[(a->eno_at + i) & 63];
	}
	*len = a->eno_len;
}

/* The answer goes without resumption. */
static __always_inline void answer_fresh(struct eno_answer *answer)
{
	answer->bytes[1] = ANSWER_FRESH_LEN;
	answer->bytes[3] &= ~ENO_V;
	answer->len = ANSWER_FRESH_LEN;
	answer->nonce_len = 0;
	answer->token = 0;
}

/* So many bytes of the nonce are left out. */
static __always_inline void answer_cut(struct eno_answer *answer, __u32 n)
{
	answer->len -= n;
	answer->nonce_len -= n;
	answer->bytes[1] = answer->len;
}

/* 8548-3.5-6: when the SYN has claimed a secret, the other half of its identifier, behind the TEP
 * that its suboption has, and the nonce that was made for it. */
static __noinline int answer_resume(struct bpf_sock_ops *ops, const struct eno_match *m,
				    const __be32 *seq, struct eno_answer *answer)
{
	struct shared_resumption *r;
	struct shared_tuple ends;

	if (!m || !seq || !answer)
		return 0;
	tuple_set(&ends, ops);
	r = resumption_claimed(m, syn_owner(&ends.local, &ends.remote, *seq));
	if (!r)
		return 0;
	__builtin_memcpy(answer->bytes + ANSWER_FRESH_LEN, r->half, sizeof(r->half));
	__builtin_memcpy(answer->bytes + ANSWER_FRESH_LEN + sizeof(r->half), r->nonce,
			 sizeof(r->nonce));
	answer->bytes[3] = r->tep | ENO_V;
	answer->len = ANSWER_FRESH_LEN + sizeof(r->half) + sizeof(r->nonce);
	answer->bytes[1] = answer->len;
	answer->nonce_len = sizeof(r->nonce);
	answer->slot = r->slot;
	answer->token = r->token;
	return 0;
}

/* The SYN-form option with which a SYN with these options is answered; len 0: none. */
static __noinline int answer_make(struct bpf_sock_ops *ops, struct eno_area *a, const __be32 *seq,
				  const struct shared_terms *terms, struct eno_answer *answer)
{
	struct eno_match m = {};
	__u8 tep;

	if (!a || !terms || !answer)
		return 0;
	answer->len = 0;
	if (!eno_match_read(&m, a, terms->teps))
		return 0;
	/* 8547-4.2-6: mandatory application-aware mode. */
	if (terms->mandatory_app_aware && !(m.global & ENO_GLOBAL_A))
		return 0;
	tep = eno_match_answer(&m);
	if (!tep)
		return 0;
	/* 8547-4.2-3, 8547-4.2-8: an explicit global suboption with b = 1. */
	answer->bytes[0] = ENO_KIND;
	answer->bytes[2] = ENO_GLOBAL_B |
			   (terms->mandatory_app_aware ? ENO_GLOBAL_A
						       : terms->global & ENO_GLOBAL_A);
	answer->bytes[3] = tep;
	answer_fresh(answer);
	answer_resume(ops, &m, seq, answer);
	/* 8548-3.5-3 */
	if (answer->nonce_len > terms->nonce_len)
		answer_cut(answer, answer->nonce_len - terms->nonce_len);
	return 1;
}

/* The answer of a server that brings its own TEP: what it says, with b = 1. */
static __always_inline int answer_raw(const struct eno_area *a, const struct shared_wishes *w,
				      struct eno_answer *answer)
{
	__u32 len = w->raw.len;

	if (a->eno_count != 1)
		return 0;
	answer->bytes[0] = ENO_KIND;
	if (w->raw.bytes[0] < ENO_TEP_FIRST) {
		__builtin_memcpy(answer->bytes + 2, w->raw.bytes, TCP_ENO_RAW_MAX);
		answer->bytes[2] |= ENO_GLOBAL_B;
	} else {
		answer->bytes[2] = ENO_GLOBAL_B;
		__builtin_memcpy(answer->bytes + 3, w->raw.bytes, TCP_ENO_RAW_MAX - 1);
		len++;
	}
	if (len > TCP_ENO_RAW_MAX)
		return 0;
	answer->bytes[1] = len + 2;
	answer->len = len + 2;
	return 1;
}

/*
 * What steer.bpf.c or ingress.bpf.c noted of the handshake when its SYN came. The notes are found by
 * the SYN's ends and may have given way to those of others.
 */
struct noted {
	struct shared_terms terms;
	struct shared_wishes *wished; /* NULL: none */
	__u32 uid;
};

/* Returns 0 when the server may have had wishes that nobody knows now: the connection is ended when it is
 * made. */
static __noinline int noted_find(struct bpf_sock_ops *ops, struct noted *ret)
{
	struct shared_settings *s = settings_get();
	struct shared_handshake *handshake;
	struct shared_tuple key;

	if (!s || !ret)
		return 0;
	tuple_set(&key, ops);
	handshake = bpf_map_lookup_elem(&steered, &key);
	ret->wished = s->wishes ? bpf_map_lookup_elem(&wished, &key) : NULL;
	ret->uid = handshake ? handshake->uid : SHARED_UID_UNKNOWN;
	if (handshake)
		ret->terms = handshake->terms;
	else if (ret->wished)
		eno_terms(s, ret->wished, &ret->terms);
	else if (!s->wishes)
		eno_terms(s, NULL, &ret->terms);
	else
		return 0;
	return !ret->terms.wished || ret->wished;
}

/*
 * Has the SYN been seen to come for a listener that answers? Without a note the SYN-ACK goes without
 * ENO: its listener may be one that an engine before this one has marked. That it asks here stays with
 * the kernel's socket, and nothing else: nobody would encrypt what it accepts.
 */
static __noinline int is_noted(struct bpf_sock_ops *ops)
{
	struct shared_wishes *w;
	struct shared_tuple key;

	tuple_set(&key, ops);
	if (bpf_map_lookup_elem(&steered, &key))
		return 1;
	w = bpf_map_lookup_elem(&wished, &key);
	return w && (w->inproc || w->raw.len);
}

/* Does the other end take the connection for an encrypted one? (8547-4.6-1) */
static __noinline int has_eno_ack(struct bpf_sock_ops *ops)
{
	struct eno_area area = {};

	return area_from_segment(ops, &area) && area.eno_count;
}

/* SYN-ACK of the steered listener, or of a server with its own TEP, first sending or
 * retransmission: the saved SYN and the notes make both the same (8547-4.6-4), unless ENO was
 * withdrawn meanwhile (8547-4.6-3, decision D15). */
static __noinline int answer_for_synack(struct bpf_sock_ops *ops, struct eno_answer *answer)
{
	struct eno_area area = {};
	struct noted noted = {};
	__be32 seq;

	if (!answer || !is_noted(ops) || area_from_syn(ops, &area, &seq) != SYN_READ ||
	    !noted_find(ops, &noted))
		return 0;
	return noted.wished && noted.terms.wished && noted.wished->raw.len
		       ? answer_raw(&area, noted.wished, answer)
		       : answer_make(ops, &area, &seq, &noted.terms, answer);
}

/* Reserves room for as much of the answer as there is: with less of the nonce, or else without
 * resumption. Storing it then meets the same room, and comes to the same. */
static __noinline int answer_reserve(struct bpf_sock_ops *ops, struct eno_answer *answer)
{
	if (!answer)
		return 0;
	for (__u32 i = 0; i <= SHARED_NONCE_MAX; i++) {
		if (!bpf_reserve_hdr_opt(ops, answer->len, 0) || !answer->token)
			return 0;
		if (answer->nonce_len)
			answer_cut(answer, 1);
		else
			answer_fresh(answer);
	}
	return bpf_reserve_hdr_opt(ops, answer->len, 0);
}

/* What went out is noted for the ACK's hook, which cannot know the room there was. */
static __always_inline void answer_note(struct eno_answer *answer, __u64 token)
{
	struct shared_claim *claim;
	__u32 slot = answer->slot;

	claim = token ? bpf_map_lookup_elem(&claims, &slot) : NULL;
	if (claim)
		claim->sent = answer->token ? SHARED_SENT_RESUME + answer->nonce_len
					    : SHARED_SENT_FRESH;
}

/* Linux 6.1's verifier has to be shown each bound by itself. */
static __always_inline long option_store(struct bpf_sock_ops *ops,
					 const __u8 option[SHARED_OPTION_MAX], __u32 len)
{
	if (len > SHARED_OPTION_MAX)
		return -1;
	barrier_var(len);
	if (len < 2)
		return -1;
	return bpf_store_hdr_opt(ops, option, len, 0);
}

static __noinline int answer_store(struct bpf_sock_ops *ops, struct eno_answer *answer)
{
	__u64 token;
	__u32 len;

	if (!answer)
		return 0;
	token = answer->token;
	for (__u32 i = 0; i <= SHARED_NONCE_MAX + 1; i++) {
		len = answer->len;
		if (!option_store(ops, answer->bytes, len)) {
			answer_note(answer, token);
			return 0;
		}
		if (!answer->token)
			return 0;
		if (answer->nonce_len)
			answer_cut(answer, 1);
		else
			answer_fresh(answer);
	}
	return 0;
}

/* The answer as the SYN-ACK had it. */
static __noinline int answer_sent(struct eno_answer *answer)
{
	struct shared_claim *claim;
	__u32 slot;

	if (!answer || !answer->token)
		return 0;
	slot = answer->slot;
	claim = bpf_map_lookup_elem(&claims, &slot);
	if (!claim || claim->sent < SHARED_SENT_RESUME)
		answer_fresh(answer);
	else if (claim->sent - SHARED_SENT_RESUME < answer->nonce_len)
		answer_cut(answer, answer->nonce_len - (claim->sent - SHARED_SENT_RESUME));
	return 0;
}

/* The rest are subprograms because each frame of the stack counts, and together they have
 * 512 bytes. */

/* How long the ENO option of a segment of the daemon's own sockets is; 0: it has none. */
static __always_inline __u32 option_len(const struct eno_sock *sock, __u8 tcp_flags)
{
	/* 8547-4.6-5: an active opener may give ENO up between SYNs. */
	if (tcp_flags & TCPHDR_SYN)
		return sock->state == ENO_SOCK_PENDING ? sock->own_len : 0;
	/* 8547-4.1-2, 8547-4.6-1, 8547-4.6-2: kind and length only, until the peer has sent
	 * a non-SYN segment. */
	return sock->state == ENO_SOCK_ENABLED ? 2 : 0;
}

/* An offer to resume that has no room goes with less of the nonce, or becomes one of fresh
 * exchange. Negative when that has none either. */
static __noinline int offer_less(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	if (!sock || !sock->peer_half.tep)
		return -1;
	for (__u32 i = 0; i < SHARED_NONCE_MAX; i++) {
		if (!sock->nonce_len)
			break;
		sock->nonce_len--;
		sock->own_len--;
		sock->own[1] = sock->own_len;
		if (!bpf_reserve_hdr_opt(ops, sock->own_len, 0))
			return 0;
	}
	__builtin_memcpy(sock->own, sock->fresh, sizeof(sock->own));
	__builtin_memcpy(sock->teps, sock->fresh_teps, sizeof(sock->teps));
	sock->own_len = sock->fresh_len;
	sock->peer_half.tep = 0;
	return bpf_reserve_hdr_opt(ops, sock->own_len, 0);
}

/* An answer between the two callbacks that a SYN-ACK has, which follow one another on one CPU. */
struct synack {
	struct shared_tuple ends; /* five words */
	struct eno_answer answer;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct synack);
} synack SEC(".maps");

static __noinline int synack_reserve(struct bpf_sock_ops *ops)
{
	__u32 zero = 0;
	struct synack *now = bpf_map_lookup_elem(&synack, &zero);

	/* A cookie keeps no SYN to negotiate from when the ACK comes. */
	if (!now || ops->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE)
		return 0;
	__builtin_memset(&now->answer, 0, sizeof(now->answer));
	tuple_set(&now->ends, ops);
	if (answer_for_synack(ops, &now->answer))
		answer_reserve(ops, &now->answer);
	return 0;
}

static __noinline int synack_store(struct bpf_sock_ops *ops)
{
	__u32 zero = 0;
	struct synack *now = bpf_map_lookup_elem(&synack, &zero);
	struct shared_tuple ends __attribute__((aligned(8)));
	const __u64 *a = (const __u64 *)&ends, *b = (const __u64 *)now;

	if (!now)
		return 0;
	tuple_set(&ends, ops);
	for (__u32 i = 0; i < sizeof(ends) / sizeof(*a); i++)
		if (a[i] != b[i])
			return 0;
	return answer_store(ops, &now->answer);
}

static __noinline int reserve(struct bpf_sock_ops *ops)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u8 syn = ops->skb_tcp_flags & TCPHDR_SYN;
	__u32 len;

	if (!ops->is_fullsock)
		return synack_reserve(ops);
	if (!sock)
		return 0;
	/* The SYN-ACK of a simultaneous open repeats what the SYN had (8547-4.6-4). */
	if (syn && !(ops->skb_tcp_flags & TCPHDR_ACK) && sock->state == ENO_SOCK_PENDING &&
	    ++sock->syns > SHARED_SYNS_WITH_ENO && !sock->required) {
		sock->state = ENO_SOCK_DISABLED;
		sock->reason = ENO_SOCK_SYN_RETRIES;
	}
	len = option_len(sock, ops->skb_tcp_flags);
	if (!len || !bpf_reserve_hdr_opt(ops, len, 0) || !syn)
		return 0;
	/* Only the first SYN chooses (8547-4.6-4). */
	if (sock->syns > 1 || ops->skb_tcp_flags & TCPHDR_ACK || offer_less(ops, sock)) {
		/* Other options left no room: the connection is made without. */
		sock->state = ENO_SOCK_DISABLED;
		sock->own_len = 0;
	}
	return 0;
}

static __noinline int store(struct bpf_sock_ops *ops)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u8 option[SHARED_OPTION_MAX] = { ENO_KIND, 2 };
	__u32 len;

	if (!ops->is_fullsock)
		return synack_store(ops);
	len = sock ? option_len(sock, ops->skb_tcp_flags) : 0;
	if (!len)
		return 0;
	if (ops->skb_tcp_flags & TCPHDR_SYN)
		__builtin_memcpy(option, sock->own, sizeof(option));
	option_store(ops, option, len);
	return 0;
}

/* The global suboption comes first in the options that this host makes. */
static __always_inline __u8 own_global(const struct eno_sock *sock)
{
	return sock->own_len > 2 && sock->own[2] < ENO_TEP_FIRST ? sock->own[2] : 0;
}

/* The other end's SYN-form option: from its SYN-ACK; or, when the segment at hand is the ACK
 * that ends a simultaneous open, from its SYN as steer.bpf.c saw it. */
static __noinline int area_from_peer(struct bpf_sock_ops *ops, struct eno_area *a)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u32 len;

	if (!sock || !a || !area_from_segment(ops, a))
		return 0;
	if (ops->skb_tcp_flags & TCPHDR_SYN)
		return 1;
	len = a->eno_count ? sock->peer_len : 0;
	__builtin_memset(a, 0, sizeof(*a));
	__builtin_memcpy(a->bytes, sock->peer, sizeof(sock->peer));
	a->len = len;
	eno_area_walk(a);
	return 1;
}

/* The SYN-ACK has come and the third segment is about to leave. */
__weak int upstream_established(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};
	struct eno_match m = {};
	__u8 tep;

	if (!sock)
		return 0;
	if (sock->state != ENO_SOCK_PENDING)
		goto plain;
	sock->state = ENO_SOCK_DISABLED;
	area_from_peer(ops, &area);
	sock->peer_len = 0;
	option_keep(&area, sock->peer, &sock->peer_len);
	if (!eno_match_read(&m, &area, sock->teps))
		goto plain;
	/* 8547-4.3-1, 8547-4.3-2: who asked for role B gets it in a simultaneous open with an end
	 * that did not, and not from a passive opener. */
	tep = own_global(sock) & ENO_GLOBAL_B ? eno_match_answer(&m)
					      : eno_match_accept(&m, &sock->peer_half);
	if (!tep)
		goto plain;
	if (sock->mandatory_app_aware && !(m.global & ENO_GLOBAL_A))
		goto plain;
	sock->state = ENO_SOCK_ENABLED;
	sock->resumes = !!(tep & ENO_V);
	flags_set(ops, FLAGS_ENO, 0);
	return 0;
plain:
	/* 8547-4.6-3: the third segment goes without ENO. */
	flags_set(ops, 0, FLAGS_ENO);
	return 0;
}

/* Hands the notes to the accepted socket. Returns 0 when they are gone: it must not live. */
static __noinline int noted_take(struct bpf_sock_ops *ops, struct eno_sock *sock,
				 struct shared_terms *ret)
{
	struct noted noted = {};
	struct shared_tuple key;

	if (!sock || !ret)
		return 0;
	if (!noted_find(ops, &noted)) {
		sock->wishes.tep_mandatory = 1;
		return 0;
	}
	*ret = noted.terms;
	sock->uid = noted.uid;
	if (!noted.terms.wished || !noted.wished)
		return 1;
	sock->wishes = *noted.wished;
	tuple_set(&key, ops);
	bpf_map_delete_elem(&wished, &key);
	return 1;
}

/* The ACK of a steered connection has come (decision D20: with or without data). */
__weak int steered_established(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};
	struct eno_answer answer = {};
	struct shared_terms terms;
	__be32 seq;
	int seen;

	if (!sock)
		return 0;
	flags_set(ops, 0, FLAGS_ENO);
	sock->state = ENO_SOCK_DISABLED;
	sock->uid = SHARED_UID_UNKNOWN;
	if (!noted_take(ops, sock, &terms))
		return 0;
	seen = area_from_syn(ops, &area, &seq);
	if (seen != SYN_READ) {
		sock->reason = seen == SYN_UNKNOWN ? ENO_SOCK_SYN_COOKIE : ENO_SOCK_SYN_RETRIES;
		return 0;
	}
	option_keep(&area, sock->peer, &sock->peer_len);
	if (!answer_make(ops, &area, &seq, &terms, &answer))
		return 0;
	/* Whatever became of it, the secret is used up: user space shall know. */
	sock->resumed_slot = answer.slot;
	sock->resumed_token = answer.token;
	answer_sent(&answer);
	sock->resumes = !!answer.token;
	__builtin_memcpy(sock->own, answer.bytes, sizeof(answer.bytes));
	sock->own_len = answer.len;
	/* 8547-4.6-3 case 1, 8547-4.6-7. */
	__builtin_memset(&area, 0, sizeof(area));
	if (area_from_segment(ops, &area) && area.eno_count)
		sock->state = ENO_SOCK_ENABLED;
	else
		sock->reason = ENO_SOCK_NO_ACK;
	return 0;
}

#endif
