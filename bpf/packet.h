/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Reading IP and TCP headers in the TC programs. Kernel side. */
#ifndef BPF_PACKET_H
#define BPF_PACKET_H

#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>

#include "bpf/maps.h"

/*
 * Verdicts: TC_ACT_UNSPEC, never TC_ACT_OK, for what is passed, so that the filters that others
 * have on the same hook still see it.
 */

/* The enum of <linux/tcp.h>'s kernel side: struct bpf_sock.state. */
#define TCP_ESTABLISHED	 1
#define TCP_SYN_SENT	 2
#define TCP_SYN_RECV	 3
#define TCP_LISTEN	 10
#define TCP_NEW_SYN_RECV 12

#define PACKET_SYN  0x02 /* in TCP's flags */
#define PACKET_RST  0x04
#define IP_FRAGMENT 0x3fff /* more-fragments bit and offset */

struct packet {
	struct shared_endpoint src;
	struct shared_endpoint dst;
	__u32 ip_len;  /* bytes of IP header, before the TCP header */
	__u32 tcp_len; /* bytes of TCP header */
	struct tcphdr tcp;
};

/* Reads a whole TCP packet's headers, which offsets count from the network header, so that
 * devices with and without a link header are alike. Returns 0 when it is none. */
static __always_inline int packet_read(struct __sk_buff *skb, struct packet *p)
{
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET))
			return 0;
		if (ip.protocol != IPPROTO_TCP || ip.frag_off & bpf_htons(IP_FRAGMENT))
			return 0;
		p->ip_len = ip.ihl * 4;
		endpoint_set_v4(&p->src, ip.saddr, 0);
		endpoint_set_v4(&p->dst, ip.daddr, 0);
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes_relative(skb, 0, &ip, sizeof(ip), BPF_HDR_START_NET))
			return 0;
		if (ip.nexthdr != IPPROTO_TCP)
			return 0;
		p->ip_len = sizeof(ip);
		__builtin_memcpy(p->src.addr, &ip.saddr, 16);
		__builtin_memcpy(p->dst.addr, &ip.daddr, 16);
		p->src.pad = p->dst.pad = 0;
	} else {
		return 0;
	}
	if (bpf_skb_load_bytes_relative(skb, p->ip_len, &p->tcp, sizeof(p->tcp), BPF_HDR_START_NET))
		return 0;
	p->src.port = bpf_ntohs(p->tcp.source);
	p->dst.port = bpf_ntohs(p->tcp.dest);
	p->tcp_len = p->tcp.doff * 4;
	return p->tcp_len >= sizeof(p->tcp);
}

/*
 * Has this surely none of these of TCP's flags? Most packets are told by a look where the flags lie in an
 * Ethernet frame with IP without options, which costs less than packet_read(). Where there is no
 * Ethernet header, there may be an IP header: addresses that begin like one are not judged.
 */
static __always_inline int has_none(const struct __sk_buff *skb, __u8 flags)
{
	const __u8 *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	const __u8 *ip = data + ETH_HLEN, *tcp = ip + sizeof(struct iphdr);
	__u32 version;

	if (tcp + sizeof(struct tcphdr) > end)
		return 0;
	version = data[0] >> 4;
	if (version == 4 || version == 6)
		return 0;
	if (data[12] == ETH_P_IP >> 8 && data[13] == (ETH_P_IP & 0xff) && ip[0] == 0x45)
		return !(tcp[13] & flags);
	if (data[12] != ETH_P_IPV6 >> 8 || data[13] != (ETH_P_IPV6 & 0xff))
		return 0;
	tcp = ip + sizeof(struct ipv6hdr);
	return tcp + sizeof(struct tcphdr) <= end && ip[6] == IPPROTO_TCP && !(tcp[13] & flags);
}

/* The socket that a packet with these ends would find, or NULL. The caller releases it. */
static __always_inline struct bpf_sock *packet_lookup(struct __sk_buff *skb,
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

#endif
