// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup ingress: segments that have found their socket. The last line for SYNs, and the one
 * that none gets around: steer.bpf.c sees packets as they come off the wire, and does not know a
 * SYN in fragments, behind IPv6 extension headers, in IPsec, or to a port that is translated later.
 * Here all that is behind us and the listener is known, whatever it is bound to.
 */
#include "bpf/netns.h"
#include "bpf/packet_eno.h"
#include "bpf/wished.h"

#define LOOPBACK_IFINDEX 1
#define HEADERS_MAX	 (65536 / 8) /* of IPv6 before TCP's: as many as a packet has room for */

enum { DROP, PASS };

/* Does the listener belong to the daemon's namespace? */
static __always_inline int is_here(struct bpf_sock *sk, const struct shared_settings *s)
{
	struct sock_common *common = (struct sock_common *)bpf_skc_to_tcp_sock(sk);

	return common && common->skc_net.net->net_cookie == s->netns_cookie;
}

struct walk {
	struct __sk_buff *skb;
	__u32 at;
	__u8 next; /* header */
	__u8 stuck;
};

static long header_step(__u32 i __attribute__((unused)), void *ctx)
{
	struct walk *w = ctx;
	__u8 header[2];

	if (w->next == IPPROTO_TCP)
		return 1;
	w->stuck = (w->next != IPPROTO_HOPOPTS && w->next != IPPROTO_ROUTING &&
		    w->next != IPPROTO_FRAGMENT && w->next != IPPROTO_DSTOPTS &&
		    w->next != IPPROTO_AH) ||
		   bpf_skb_load_bytes_relative(w->skb, w->at, header, sizeof(header),
					       BPF_HDR_START_NET);
	if (w->stuck)
		return 1;
	if (w->next == IPPROTO_AH)
		w->at += (header[1] + 2) * 4;
	else if (w->next == IPPROTO_FRAGMENT)
		w->at += 8;
	else
		w->at += (header[1] + 1) * 8;
	w->next = header[0];
	return 0;
}

/* Where TCP's header begins; 0: nobody knows. */
static __noinline __u32 tcp_at(struct __sk_buff *skb)
{
	struct walk w = { .skb = skb, .stuck = loop_zero() };
	__u8 first;

	w.at = sizeof(struct ipv6hdr) + loop_zero();
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return bpf_skb_load_bytes_relative(skb, 0, &first, 1, BPF_HDR_START_NET)
			       ? 0
			       : (first & 15) * 4;
	if (bpf_skb_load_bytes_relative(skb, offsetof(struct ipv6hdr, nexthdr), &w.next, 1,
					BPF_HDR_START_NET))
		return 0;
	bpf_loop(HEADERS_MAX, header_step, &w, 0);
	return w.stuck || w.next != IPPROTO_TCP ? 0 : w.at;
}

static __noinline int ends_read(struct __sk_buff *skb, struct packet *p)
{
	__be32 v4[2];

	if (!p)
		return 0;
	p->src.port = bpf_ntohs(p->tcp.source);
	p->dst.port = bpf_ntohs(p->tcp.dest);
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes_relative(skb, offsetof(struct iphdr, saddr), v4, sizeof(v4),
						BPF_HDR_START_NET))
			return 0;
		endpoint_set_v4(&p->src, v4[0], p->src.port);
		endpoint_set_v4(&p->dst, v4[1], p->dst.port);
		return 1;
	}
	return !bpf_skb_load_bytes_relative(skb, offsetof(struct ipv6hdr, saddr), p->src.addr,
					    sizeof(p->src.addr), BPF_HDR_START_NET) &&
	       !bpf_skb_load_bytes_relative(skb, offsetof(struct ipv6hdr, daddr), p->dst.addr,
					    sizeof(p->dst.addr), BPF_HDR_START_NET);
}

/* Reads a segment's header. Returns 0 when that cannot be done. */
static __always_inline int segment_read(struct __sk_buff *skb, struct packet *p)
{
	p->ip_len = tcp_at(skb);
	if (!p->ip_len ||
	    bpf_skb_load_bytes_relative(skb, p->ip_len, &p->tcp, sizeof(p->tcp), BPF_HDR_START_NET))
		return 0;
	p->tcp_len = p->tcp.doff * 4;
	return p->tcp_len >= sizeof(p->tcp) && ends_read(skb, p);
}

/* 8547-4.7-6, 8547-4.7-7: data that nobody has cut off is not for a server with Fast Open. Without
 * an answer TCP sends the SYN again, and then mostly without. */
static __always_inline int has_eno_and_data(struct __sk_buff *skb, struct packet *p)
{
	return skb->len > p->ip_len + p->tcp_len && eno_options(skb, p);
}

/*
 * TCP_ENO_TEP_MANDATORY: only the daemon connects to such a server, over loopback, for clients whose
 * connection is encrypted. Others on this host connect() has refused. Who encrypts by himself, with
 * a TEP of his own or the in-process library, judges what he accepts by himself, too.
 */
static __always_inline int may_open(struct bpf_sock *sk, const struct shared_settings *s,
				    struct packet *p)
{
	struct shared_wishes *w = s->wishes ? bpf_sk_storage_get(&wishes, sk, NULL, 0) : NULL;
	struct shared_tuple ends;

	if (!w)
		return 1;
	if (!bpf_sk_storage_get(&eno_socks, sk, NULL, 0))
		return !w->tep_mandatory;
	if (!p)
		return 1;
	ends.local = p->dst;
	ends.remote = p->src;
	/* Unless steer.bpf.c has noted more. */
	wished_set(&ends, w, BPF_NOEXIST);
	return 1;
}

SEC("cgroup_skb/ingress")
int tcpcrypt_ingress(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct shared_settings *s;
	struct packet p = {};

	if (!sk || sk->state != TCP_LISTEN || skb->ifindex == LOOPBACK_IFINDEX)
		return PASS;
	s = settings_get();
	if (!s || !is_here(sk, s))
		return PASS;
	if (!segment_read(skb, &p))
		return may_open(sk, s, NULL);
	/* What is left over from another connection is answered with RST, as ever. */
	if (!p.tcp.syn || p.tcp.ack || p.tcp.rst)
		return PASS;
	return !has_eno_and_data(skb, &p) && may_open(sk, s, &p) ? PASS : DROP;
}

char ingress_license[] SEC("license") = "Dual BSD/GPL";
