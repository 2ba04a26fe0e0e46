/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Data in SYNs that carry ENO is discarded, whether or not ENO is then used: 8547-4.7-6,
 * 8547-4.7-7. A listener with Fast Open, on a port that is left alone or while the daemon is
 * paused, would take it; so it is cut off before the SYN gets there. Kernel side.
 */
#ifndef BPF_SYN_DATA_H
#define BPF_SYN_DATA_H

#include "bpf/packet.h"

#define ETH_LEN	       14
#define VLAN_LEN       4
#define CSUM_AT	       16 /* in the TCP header */
#define TCP_HEADER_MAX 60
#define V4_TOT_LEN_AT  2
#define V4_CSUM_AT     10
#define V6_PAYLOAD_AT  4

static __always_inline __u16 csum_fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* How long the packet says it is, without what the link has added. 0: unknown. */
static __always_inline __u32 packet_len(struct __sk_buff *skb)
{
	int v4 = skb->protocol == bpf_htons(ETH_P_IP);
	__be16 len;

	if (bpf_skb_load_bytes_relative(skb, v4 ? V4_TOT_LEN_AT : V6_PAYLOAD_AT, &len, sizeof(len),
					BPF_HDR_START_NET))
		return 0;
	return bpf_ntohs(len) + (v4 ? 0 : sizeof(struct ipv6hdr));
}

/* Where the IP header begins, by which writing counts, unlike reading; -1: nowhere. */
static __always_inline int network_at(struct __sk_buff *skb)
{
	static const int places[] = { ETH_LEN, 0, ETH_LEN + VLAN_LEN };
	__u64 here[2], there[2];

	if (bpf_skb_load_bytes_relative(skb, 4, here, sizeof(here), BPF_HDR_START_NET))
		return -1;
	for (int i = 0; i < 3; i++) {
		if (bpf_skb_load_bytes(skb, places[i] + 4, there, sizeof(there)))
			continue;
		if (here[0] == there[0] && here[1] == there[1])
			return places[i];
	}
	return -1;
}

/* The TCP checksum of a segment that is a header only. */
static __always_inline int header_csum(struct __sk_buff *skb, const struct packet *p, __u16 *ret)
{
	__u8 tcp[TCP_HEADER_MAX] = {};
	__be32 pseudo[2] = { bpf_htonl(p->tcp_len), bpf_htonl(IPPROTO_TCP) };
	__u32 len = p->tcp_len;
	__s64 sum;

	if (len < sizeof(struct tcphdr) || len > sizeof(tcp) ||
	    bpf_skb_load_bytes_relative(skb, p->ip_len, tcp, len, BPF_HDR_START_NET))
		return -1;
	tcp[CSUM_AT] = tcp[CSUM_AT + 1] = 0;
	sum = bpf_csum_diff(NULL, 0, (__be32 *)tcp, sizeof(tcp), 0);
	sum = bpf_csum_diff(NULL, 0, pseudo, sizeof(pseudo), sum);
	/* Of a v4-mapped address the beginning does no harm: in this sum 0xffff is nothing. */
	sum = bpf_csum_diff(NULL, 0, (__be32 *)p->src.addr, sizeof(p->src.addr), sum);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)p->dst.addr, sizeof(p->dst.addr), sum);
	*ret = csum_fold(sum);
	return 0;
}

/*
 * Takes a SYN's data away. 0, or -1 when that could not be done, and the SYN must not pass.
 * The checksum is made anew: one that was wrong is not any more, but nothing follows from a header
 * alone that the other end would not see.
 */
__weak int syn_data_cut(struct __sk_buff *skb, struct packet *p)
{
	__u32 len, total;
	__be16 field, old;
	__u16 csum;
	int at;

	if (!p)
		return -1;
	len = p->ip_len + p->tcp_len;
	total = packet_len(skb);
	if (total <= len)
		return 0;
	at = network_at(skb);
	if (at < 0 || header_csum(skb, p, &csum) || bpf_skb_change_tail(skb, at + len, 0))
		return -1;
	if (bpf_skb_store_bytes(skb, at + p->ip_len + CSUM_AT, &csum, sizeof(csum),
				BPF_F_RECOMPUTE_CSUM))
		return -1;
	old = bpf_htons(total);
	field = bpf_htons(len);
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		field = bpf_htons(len - sizeof(struct ipv6hdr));
		return bpf_skb_store_bytes(skb, at + V6_PAYLOAD_AT, &field, sizeof(field),
					   BPF_F_RECOMPUTE_CSUM)
			       ? -1
			       : 0;
	}
	if (bpf_l3_csum_replace(skb, at + V4_CSUM_AT, old, field, sizeof(field)) ||
	    bpf_skb_store_bytes(skb, at + V4_TOT_LEN_AT, &field, sizeof(field), 0))
		return -1;
	return 0;
}

#endif
