/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Sockets of programs that encrypt by themselves: negotiated like the daemon's own, but nobody
 * of ours is asked when the handshake has ended, so what it taught is remembered here. Included
 * by sockops.bpf.c only.
 */
#ifndef BPF_SOCKOPS_INPROC_H
#define BPF_SOCKOPS_INPROC_H

#include <bpf/bpf_core_read.h>

#include "bpf/sockops_addresses.h"
#include "bpf/place.h"
#include "bpf/sockops_eno.h"
#include "bpf/secret.h"
#include "engine/expiry.h"

/* What became of the secret that the socket's SYN took (8548-3.5-21: it is used up whatever it
 * was); only one that was agreed on is kept, for the process to read. */
static __noinline int secret_outcome(struct eno_sock *sock, __u64 outcome)
{
	struct shared_settings *settings = settings_get();
	struct shared_secret *s;
	struct shared_claim *c;
	__u32 slot;
	int tell;

	if (!sock || !settings || !sock->resumed_token)
		return 0;
	slot = sock->resumed_slot;
	s = secret_get(slot, sock->resumed_token);
	c = bpf_map_lookup_elem(&claims, &slot);
	if (!s || !c || !(c->state & SHARED_CLAIMED))
		return 0;
	tell = s->tell || outcome != SHARED_AGREED;
	if (outcome != SHARED_AGREED)
		secret_wipe(s);
	*(volatile __u64 *)&c->state = outcome | sock->resumed_token;
	if (tell)
		secret_tell(settings, slot);
	return 0;
}

/* An active opener's, when the SYN-ACK has come. */
static __always_inline void secret_answered(struct eno_sock *sock)
{
	if (!sock->resumed_token)
		return;
	if (sock->resumes)
		secret_outcome(sock, SHARED_AGREED);
	else if (sock->state == ENO_SOCK_ENABLED && sock->peer_half.tep)
		secret_outcome(sock, SHARED_MISSED);
	else if (sock->state == ENO_SOCK_DISABLED && sock->peer_half.tep &&
		 sock->reason == ENO_SOCK_BY_OPTIONS)
		secret_outcome(sock, SHARED_REFUSED);
	else
		secret_outcome(sock, SHARED_DROPPED);
}

/* Returns 0 when the listener is none of these. */
static __noinline int inproc_listen(struct bpf_sock_ops *ops, struct shared_settings *s)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_wishes *w;
	struct eno_sock *sock;
	int save_syn = 1;

	if (!sk || !s)
		return 0;
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	if (!w || !w->inproc || w->raw.len)
		return 0;
	/* The socket may have failed to connect before. */
	bpf_sk_storage_delete(&eno_socks, sk);
	if (wishes_off(w) || (settings_port_left_alone(s, ops->local_port) && !wishes_on(w)))
		return 1;
	sock = bpf_sk_storage_get(&eno_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return 1;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_INPROC;
	bpf_setsockopt(ops, SOL_TCP, TCP_SAVE_SYN, &save_syn, sizeof(save_syn));
	flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
	return 1;
}

/* As the daemon does for its own connections: see flow_negotiated(). */
static __noinline int inproc_remember(struct bpf_sock_ops *ops, const struct eno_sock *sock)
{
	struct shared_settings *s = settings_get();
	struct shared_plain plain = {}, *before;
	struct shared_tuple ends;

	if (!s || !sock || !s->remember_seconds)
		return 0;
	tuple_set(&ends, ops);
	before = bpf_map_lookup_elem(&plain_destinations, &ends.remote);
	if (sock->reason == ENO_SOCK_SYN_RETRIES)
		plain.seconds = expiry_next(before ? before->seconds : 0, s->remember_seconds);
	plain.until = bpf_ktime_get_ns() +
		      (plain.seconds ? plain.seconds : s->remember_seconds) * 1000000000ULL;
	bpf_map_update_elem(&plain_destinations, &ends.remote, &plain, BPF_ANY);
	return 0;
}

/* The kernel's own, as far as it matters here. */
enum sock_flags { SOCK_LINGER = 4 };

struct sock_common {
	unsigned long skc_flags;
} __attribute__((preserve_access_index));

/* Does close() mean FIN? */
static __always_inline int is_orderly(struct bpf_sock *sk)
{
	struct sock_common *common = (struct sock_common *)bpf_skc_to_tcp_sock(sk);

	return common &&
	       !(common->skc_flags >> bpf_core_enum_value(enum sock_flags, SOCK_LINGER) & 1);
}

static __noinline int inproc_connected(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_wishes *w;

	if (!sock || !sk)
		return 0;
	sock->orderly = is_orderly(sk);
	if (!sock->own_len)
		sock->state = ENO_SOCK_DISABLED;
	upstream_established(ops, sock);
	secret_answered(sock);
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	/* What the program's own wishes prevented is no fault of the destination; nor is it what an
	 * offer to resume, which has one TEP only, came to: the next offer is the whole one. */
	if (sock->state == ENO_SOCK_DISABLED && sock->own_len && !sock->mandatory_app_aware && w &&
	    !w->teps.set && !(sock->peer_half.tep && sock->reason == ENO_SOCK_BY_OPTIONS))
		inproc_remember(ops, sock);
	return 0;
}

/*
 * An engine before this one has marked the listener (or others have, for purposes of their own), or its
 * port is left alone by now. Without ENO in the ACK the connection is plain (8547-4.6-3); what another
 * engine has negotiated nobody can keep.
 */
static __noinline int unmarked_accepted(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_tuple ends;
	struct shared_wishes *w;
	struct eno_sock *sock;

	tuple_set(&ends, ops);
	if (!sk || stays_on_host(&ends.remote))
		return 0;
	sock = bpf_sk_storage_get(&eno_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return 0;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_INPROC;
	sock->raw_role = 1;
	sock->state = ENO_SOCK_DISABLED;
	sock->reason = ENO_SOCK_NO_ACK;
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	sock->required = (w && w->tep_mandatory) || has_eno_ack(ops);
	return 0;
}

/* A connection that a listener accepts, or one by simultaneous open. */
static __noinline int inproc_accepted(struct bpf_sock_ops *ops, struct eno_sock *sock,
				      const struct shared_settings *s)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_tuple ends;
	struct shared_wishes *w;
	int noted;

	if (!sock || !sk)
		return 0;
	sock->orderly = is_orderly(sk);
	if (sock->own_len)
		return upstream_established(ops, sock);
	sock->raw_role = 1;
	tuple_set(&ends, ops);
	/* What stays on the host is plain; it may be the daemon that connects, where a rule requires
	 * encryption. */
	if (stays_on_host(&ends.remote)) {
		flags_set(ops, 0, FLAGS_ENO);
		sock->state = ENO_SOCK_DISABLED;
		return app_accepted(ops, s);
	}
	noted = is_noted(ops);
	steered_established(ops, sock);
	secret_outcome(sock, sock->state == ENO_SOCK_ENABLED && sock->resumes ? SHARED_AGREED
									      : SHARED_DROPPED);
	/* Its listener's own word counts, whatever became of the notes: it may have been marked when the
	 * SYN had come. */
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	sock->required = (noted && sock->wishes.tep_mandatory) || (w && w->tep_mandatory) ||
			 (sock->state != ENO_SOCK_ENABLED && has_eno_ack(ops));
	return 0;
}

#endif
