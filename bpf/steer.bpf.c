// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: TC ingress on every interface but lo. Gives SYNs that carry ENO, and for which a
 * local server listens, to the daemon's listener; every other segment is passed untouched,
 * so plain clients reach the server natively and closed ports answer as ever.
 */
#include "bpf/packet.h"
#include "bpf/eno_options.h"

#define TCP_LISTEN 10 /* enum of <linux/tcp.h>'s kernel side: struct bpf_sock.state */

/* For so long after a SYN cookie its ACK may come (the kernel's own bound is 2 minutes). */
#define COOKIE_LIFE_NS (120ULL * 1000 * 1000 * 1000)

static __always_inline struct bpf_sock *lookup(struct __sk_buff *skb,
					       const struct shared_endpoint *src,
					       const struct shared_endpoint *dst)
{
	struct bpf_sock_tuple t = {};

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		t.ipv4.saddr = ((const __u32 *)src->addr)[3];
		t.ipv4.daddr = ((const __u32 *)dst->addr)[3];
		t.ipv4.sport = bpf_htons(src->port);
		t.ipv4.dport = bpf_htons(dst->port);
		return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	__builtin_memcpy(t.ipv6.saddr, src->addr, 16);
	__builtin_memcpy(t.ipv6.daddr, dst->addr, 16);
	t.ipv6.sport = bpf_htons(src->port);
	t.ipv6.dport = bpf_htons(dst->port);
	return bpf_skc_lookup_tcp(skb, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/* Is a program of this host listening where the packet goes (and no connection there yet)? */
static __always_inline int server_listens(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_sock *sk = lookup(skb, &p->src, &p->dst);
	int listens;

	if (!sk)
		return 0;
	listens = sk->state == TCP_LISTEN;
	bpf_sk_release(sk);
	return listens;
}

/* The daemon's listener, or NULL: it is looked up each time, so that a daemon that is gone
 * is gone here too. The caller releases it. */
static __always_inline struct bpf_sock *daemon_listener(struct __sk_buff *skb,
							const struct shared_settings *s)
{
	struct shared_endpoint nobody = {}, loopback = {};
	struct bpf_sock *sk, *full;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		endpoint_set_v4(&loopback, bpf_htonl(0x7f000001), 0);
	else
		loopback.addr[15] = 1;
	loopback.port = s->in_port;
	sk = lookup(skb, &nobody, &loopback);
	if (!sk)
		return NULL;
	full = sk->state == TCP_LISTEN ? bpf_sk_fullsock(sk) : NULL;
	if (full && bpf_sk_storage_get(&eno_socks, full, NULL, 0))
		return sk;
	/* Somebody else took the port. */
	bpf_sk_release(sk);
	return NULL;
}

static __noinline int carries_eno(struct __sk_buff *skb, struct packet *p)
{
	struct eno_area area = {};
	__u32 len, at;

	if (!p)
		return 0;
	len = p->tcp_len - sizeof(struct tcphdr);
	at = p->ip_len + sizeof(struct tcphdr);
	if (len < 2 || len > SHARED_OPTION_MAX ||
	    bpf_skb_load_bytes_relative(skb, at, area.bytes, len, BPF_HDR_START_NET))
		return 0;
	area.len = len;
	eno_area_walk(&area);
	return area.eno_count == 1;
}

/* The third segment of a handshake by SYN cookie has no request to lead it to the listener
 * that sent the cookie; only the cookie itself tells whose it is. */
static __always_inline int answers_cookie(struct __sk_buff *skb, const struct packet *p,
					  struct bpf_sock *listener)
{
	struct tcphdr tcp = p->tcp;
	struct ipv6hdr v6;
	struct iphdr v4;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes_relative(skb, 0, &v4, sizeof(v4), BPF_HDR_START_NET))
			return 0;
		return !bpf_tcp_check_syncookie(listener, &v4, sizeof(v4), &tcp, sizeof(tcp));
	}
	if (bpf_skb_load_bytes_relative(skb, 0, &v6, sizeof(v6), BPF_HDR_START_NET))
		return 0;
	return !bpf_tcp_check_syncookie(listener, &v6, sizeof(v6), &tcp, sizeof(tcp));
}

SEC("tc")
int tcpcrypt_steer(struct __sk_buff *skb)
{
	struct shared_settings *s = settings_get();
	struct bpf_sock *listener;
	struct packet p;
	int opening;

	if (!s || !s->in_port || !packet_read(skb, &p) || p.tcp.rst)
		return TC_ACT_OK;
	opening = p.tcp.syn && !p.tcp.ack;
	if (!opening && (p.tcp.syn || !p.tcp.ack || !s->cookie_ns ||
			 bpf_ktime_get_ns() - s->cookie_ns > COOKIE_LIFE_NS))
		return TC_ACT_OK;
	if (settings_port_left_alone(s, p.dst.port) || !settings_daemon_lives(s))
		return TC_ACT_OK;
	if (opening && (!settings_takes_connections(s) || !carries_eno(skb, &p)))
		return TC_ACT_OK;
	if (!server_listens(skb, &p))
		return TC_ACT_OK;
	listener = daemon_listener(skb, s);
	if (!listener)
		return TC_ACT_OK;
	/* Should the assignment fail, the server gets the segment: plain, but connected. */
	if (opening || answers_cookie(skb, &p, listener))
		bpf_sk_assign(skb, listener, 0);
	bpf_sk_release(listener);
	return TC_ACT_OK;
}

char steer_license[] SEC("license") = "Dual BSD/GPL";
