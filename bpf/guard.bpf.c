// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * The guard: what makes policy `require` hold whatever becomes of the daemon. These programs are
 * pinned while there are such rules, and have no part in encrypting; they know the rules, and let
 * nothing through that the daemon has not taken:
 *
 *   connect4, connect6  a program's connect() that was not turned to the daemon fails at once
 *   sk_lookup           a SYN that was not led to the daemon finds no listener: RST
 *   cgroup egress       the last line: no SYN or SYN-ACK without ENO leaves the host
 *
 * The connect programs run behind the daemon's own, which is attached first.
 */
#include "bpf/packet_eno.h"
#include "bpf/lookup.h"
#include "bpf/netns.h"
#include "bpf/place.h"
#include "bpf/policy_find.h"

#define SOCK_STREAM	 1
#define ECONNREFUSED	 111
#define LOOPBACK_IFINDEX 1

/* The network namespace that is guarded. */
const volatile __u64 guard_netns = 0;

/* Its SYNs carry ENO; that they do is seen when they leave. */
static __always_inline int offers_eno(const struct eno_sock *sock)
{
	return sock && (sock->kind == ENO_SOCK_UPSTREAM || sock->kind == ENO_SOCK_INPROC);
}

static __always_inline int refuses(struct bpf_sock_addr *ctx, const struct shared_endpoint *dst)
{
	struct shared_endpoint src = {};
	struct policy_verdict policy;
	struct eno_sock *sock;

	if (bpf_get_netns_cookie(ctx) != guard_netns || ctx->type != SOCK_STREAM ||
	    ctx->protocol != IPPROTO_TCP)
		return 0;
	/* The daemon's own, one whose program encrypts by itself, or refused already and told of. */
	sock = ctx->sk ? bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0) : NULL;
	if (offers_eno(sock) || bpf_get_retval() < 0)
		return 0;
	if (!is_governed(dst))
		return 0;
	if (ctx->sk)
		bound_to(ctx->sk, &src);
	policy = policy_out(ctx->sk, &src, dst);
	if (policy.action != POLICY_REQUIRE)
		return 0;
	refusal_tell_out(dst, SHARED_NO_DAEMON, policy.line);
	bpf_set_retval(-ECONNREFUSED);
	return 1;
}

SEC("cgroup/connect4")
int tcpcrypt_guard_connect4(struct bpf_sock_addr *ctx)
{
	struct shared_endpoint dst;

	endpoint_set_v4(&dst, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	return !refuses(ctx, &dst);
}

SEC("cgroup/connect6")
int tcpcrypt_guard_connect6(struct bpf_sock_addr *ctx)
{
	struct shared_endpoint dst = { .port = bpf_ntohs(ctx->user_port) };
	__u32 *w = (__u32 *)dst.addr;

	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
	return !refuses(ctx, &dst);
}

static __always_inline int daemon_listens(void)
{
	struct shared_settings *s = settings_get();
	struct bpf_sock *sk;
	__u32 first;

	if (!s)
		return 0;
	first = shared_listener(settings_serving(s).first_slot, 0, 0);
	sk = bpf_map_lookup_elem(&listeners, &first);
	if (!sk)
		return 0;
	bpf_sk_release(sk);
	return 1;
}

/* Whoever selects a socket for these ends, as lookup.bpf.c does, overrules this. */
SEC("sk_lookup")
int tcpcrypt_guard_lookup(struct bpf_sk_lookup *ctx)
{
	struct policy_verdict policy;
	struct shared_tuple ends;

	if (ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	lookup_ends(&ends, ctx);
	/* What is on the host stays plain. Without an address steer.bpf.c asks; from the network
	 * nothing comes that could be answered, and nothing would be. */
	if (stays_on_host(&ends.remote))
		return SK_PASS;
	policy = policy_in(&ends.local, &ends.remote);
	if (policy.action != POLICY_REQUIRE)
		return SK_PASS;
	if (!daemon_listens())
		refusal_tell_in(&ends.local, &ends.remote, SHARED_NO_DAEMON, policy.line);
	return SK_DROP;
}

/* Does the segment's socket, or the handshake it answers, belong to this namespace? */
static __always_inline int is_here(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct sock_common *common;

	if (!sk)
		return 0;
	common = (struct sock_common *)bpf_skc_to_tcp_sock(sk);
	if (!common)
		common = (struct sock_common *)bpf_skc_to_tcp_request_sock(sk);
	return common && common->skc_net.net->net_cookie == guard_netns;
}

static __always_inline int has_eno(struct __sk_buff *skb, struct packet *p)
{
	return eno_options(skb, p) == 1;
}

/* A SYN, or in a simultaneous open a SYN-ACK, of a socket that connects. */
static __always_inline int may_open(struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p)
{
	struct eno_sock *sock = bpf_sk_storage_get(&eno_socks, sk, NULL, 0);

	if (offers_eno(sock) && has_eno(skb, p))
		return 1;
	return !(sock && sock->required) &&
	       policy_out(sk, &p->src, &p->dst).action != POLICY_REQUIRE;
}

static __noinline int may_leave(struct __sk_buff *skb, struct packet *p)
{
	struct bpf_sock *sk = skb->sk;

	if (!p)
		return 1;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (sk && sk->state != TCP_LISTEN)
		return may_open(skb, sk, p);
	return policy_in(&p->src, &p->dst).action != POLICY_REQUIRE || has_eno(skb, p);
}

/* With IPv6 extension headers, which programs may ask for: nobody looks for ENO behind them. */
static __noinline int may_leave_unread(struct __sk_buff *skb)
{
	struct shared_endpoint src, dst = {};
	struct bpf_sock *sk = skb->sk;
	__u32 *w = (__u32 *)dst.addr;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || sk->protocol != IPPROTO_TCP || sk->state != TCP_SYN_SENT)
		return 1;
	w[0] = sk->dst_ip6[0];
	w[1] = sk->dst_ip6[1];
	w[2] = sk->dst_ip6[2];
	w[3] = sk->dst_ip6[3];
	dst.port = bpf_ntohs(sk->dst_port);
	bound_to(sk, &src);
	return policy_out(sk, &src, &dst).action != POLICY_REQUIRE;
}

SEC("cgroup_skb/egress")
int tcpcrypt_guard_egress(struct __sk_buff *skb)
{
	struct packet p;

	if (skb->ifindex == LOOPBACK_IFINDEX)
		return 1;
	if (!packet_read(skb, &p))
		return skb->protocol != bpf_htons(ETH_P_IPV6) || !is_here(skb) ||
		       may_leave_unread(skb);
	return !p.tcp.syn || !is_here(skb) || may_leave(skb, &p);
}

char guard_license[] SEC("license") = "Dual BSD/GPL";
