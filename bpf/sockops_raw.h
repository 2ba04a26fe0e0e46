/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The sockets of programs that bring their own TEP (TCP_ENO_RAW): the option is theirs, the
 * negotiation ours. Included by sockops.bpf.c only.
 */
#ifndef BPF_SOCKOPS_RAW_H
#define BPF_SOCKOPS_RAW_H

#include "bpf/sockops_eno.h"

/* A program with its own TEP listens: what it accepts inherits the mark. */
static __noinline int raw_listen(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_wishes *w;
	struct eno_sock *sock;
	int save_syn = 1;

	if (!sk)
		return 0;
	/* The socket may have failed to connect before. */
	bpf_sk_storage_delete(&eno_socks, sk);
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	if (!w || !w->raw.len)
		return 0;
	sock = bpf_sk_storage_get(&eno_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return 0;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_RAW;
	bpf_setsockopt(ops, SOL_TCP, TCP_SAVE_SYN, &save_syn, sizeof(save_syn));
	flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
	return 0;
}

/* The TEPs that an option names. */
struct raw_teps {
	struct eno_scan scan;
	const __u8 *option;
	__u32 len;
	__u64 seen[2];
	__u8 global;
	__u8 explicit_global;
	__u8 bad;
};

static long raw_teps_step(__u32 i, void *ctx)
{
	struct raw_teps *t = ctx;
	__u8 byte;

	if (i + 2 >= t->len || i + 2 >= SHARED_OPTION_MAX)
		return 1;
	byte = t->option[i + 2];
	switch (eno_scan_byte(&t->scan, byte, t->len - 3 - i)) {
	case ENO_SCAN_NOTHING:
		break;
	case ENO_SCAN_GLOBAL:
		if (!t->explicit_global)
			t->global = byte;
		t->explicit_global = 1;
		break;
	case ENO_SCAN_TEP:
		t->seen[byte >> 6 & 1] |= 1ULL << (byte & 63);
		break;
	case ENO_SCAN_BAD:
		t->bad = 1;
		return 1;
	}
	return 0;
}

static __always_inline void raw_teps_read(struct raw_teps *t, const __u8 *option, __u32 len)
{
	__u32 zero = loop_zero();

	t->option = option;
	t->len = len;
	t->scan.expect = t->scan.data_left = zero;
	t->seen[0] = t->seen[1] = zero;
	t->global = t->explicit_global = t->bad = zero;
	bpf_loop(SHARED_OPTION_MAX, raw_teps_step, t, 0);
}

/* Both SYNs carry the same TEP, whatever it is, and the roles differ. */
static __noinline int raw_agrees(struct eno_sock *sock)
{
	struct raw_teps own, peer;

	if (!sock)
		return 0;
	raw_teps_read(&own, sock->own, sock->own_len);
	raw_teps_read(&peer, sock->peer, sock->peer_len);
	if (own.bad || peer.bad || !((own.global ^ peer.global) & ENO_GLOBAL_B))
		return 0;
	sock->raw_role = own.global & ENO_GLOBAL_B;
	return own.seen[0] & peer.seen[0] || own.seen[1] & peer.seen[1];
}

static __noinline int raw_connected(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};

	if (sock->state == ENO_SOCK_PENDING) {
		sock->state = ENO_SOCK_DISABLED;
		area_from_peer(ops, &area);
		sock->peer_len = 0;
		option_keep(&area, sock->peer, &sock->peer_len);
		if (raw_agrees(sock))
			sock->state = ENO_SOCK_ENABLED;
	}
	if (sock->state == ENO_SOCK_ENABLED)
		flags_set(ops, FLAGS_ENO, 0);
	else
		flags_set(ops, 0, FLAGS_ENO);
	return 0;
}

static __noinline int raw_accepted(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct bpf_sock *sk = ops->sk;
	struct eno_answer answer = {};
	struct eno_area area = {};
	struct shared_wishes *w;
	__be32 seq;
	int seen;

	if (!sk)
		return 0;
	/* Its listener's: they do not change any more. */
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	flags_set(ops, 0, FLAGS_ENO);
	sock->state = ENO_SOCK_DISABLED;
	seen = area_from_syn(ops, &area, &seq);
	if (seen != SYN_READ) {
		sock->reason = seen == SYN_UNKNOWN ? ENO_SOCK_SYN_COOKIE : ENO_SOCK_SYN_RETRIES;
		return 0;
	}
	option_keep(&area, sock->peer, &sock->peer_len);
	if (!w || !answer_raw(&area, w, &answer))
		return 0;
	__builtin_memcpy(sock->own, answer.bytes, sizeof(answer.bytes));
	sock->own_len = answer.len;
	if (!raw_agrees(sock))
		return 0;
	__builtin_memset(&area, 0, sizeof(area));
	if (area_from_segment(ops, &area) && area.eno_count)
		sock->state = ENO_SOCK_ENABLED;
	else
		sock->reason = ENO_SOCK_NO_ACK;
	return 0;
}

#endif
