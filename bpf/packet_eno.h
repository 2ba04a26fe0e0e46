/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Finding ENO in a packet. Kernel side. */
#ifndef BPF_PACKET_ENO_H
#define BPF_PACKET_ENO_H

#include "bpf/packet.h"

#include "bpf/eno_options.h"

/* Is there one ENO option? Fills *a, which must be zero, with what else there is. */
static __noinline int carries_eno(struct __sk_buff *skb, struct packet *p, struct eno_area *a)
{
	__u32 len, at;

	if (!p || !a)
		return 0;
	len = p->tcp_len - sizeof(struct tcphdr);
	at = p->ip_len + sizeof(struct tcphdr);
	if (len < 2 || len > SHARED_OPTION_MAX ||
	    bpf_skb_load_bytes_relative(skb, at, a->bytes, len, BPF_HDR_START_NET))
		return 0;
	a->len = len;
	eno_area_walk(a);
	return a->eno_count == 1;
}

/* How many there are. Global, so that the verifier looks at it once. */
__weak int eno_options(struct __sk_buff *skb, struct packet *p)
{
	struct eno_area area = {};

	if (!p)
		return 0;
	carries_eno(skb, p, &area);
	return area.eno_count;
}

#endif
