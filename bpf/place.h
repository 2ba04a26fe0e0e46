/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What kind of place an address is. Kernel side. */
#ifndef BPF_PLACE_H
#define BPF_PLACE_H

#include "bpf/maps.h"

/* The loopback network, and the unspecified address, which connect() takes for loopback. */
static __always_inline int is_loopback_v4(__u32 addr)
{
	return !addr || (bpf_ntohl(addr) >> 24) == 127;
}

static __always_inline int is_v4_mapped(const __u32 *w)
{
	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

static __always_inline int is_loopback(const __u32 *w)
{
	return is_v4_mapped(w) ? is_loopback_v4(w[3])
			       : !w[0] && !w[1] && !w[2] && (!w[3] || w[3] == bpf_htonl(1));
}

/* The address that a socket which is about to connect is bound to; 0: none, the kernel will choose. */
static __always_inline int bound_to(struct bpf_sock *sk, struct shared_endpoint *ret)
{
	__u32 *w = (__u32 *)ret->addr;

	__builtin_memset(ret, 0, sizeof(*ret));
	if (sk->family == AF_INET) {
		if (sk->src_ip4)
			endpoint_set_v4(ret, sk->src_ip4, 0);
	} else {
		w[0] = sk->src_ip6[0];
		w[1] = sk->src_ip6[1];
		w[2] = sk->src_ip6[2];
		w[3] = sk->src_ip6[3];
	}
	return w[0] || w[1] || w[2] || w[3];
}

static __always_inline int stays_on_host(const struct shared_endpoint *dst)
{
	return is_loopback((const __u32 *)dst->addr) ||
	       bpf_map_lookup_elem(&own_addresses, dst->addr);
}

/* Multicast, broadcast: let the kernel give its own error. */
static __always_inline int is_unicast(const struct shared_endpoint *dst)
{
	const __u32 *w = (const __u32 *)dst->addr;

	if (is_v4_mapped(w))
		return bpf_ntohl(w[3]) >> 28 != 0xe && w[3] != 0xffffffff;
	return dst->addr[0] != 0xff;
}

/* Link-local IPv6 needs its scope, which a changed address could not carry back. */
static __always_inline int is_link_local(const struct shared_endpoint *dst)
{
	return dst->addr[0] == 0xfe && (dst->addr[1] & 0xc0) == 0x80;
}

/* Do policy and the daemon have a say in connections to there? */
static __always_inline int is_governed(const struct shared_endpoint *dst)
{
	return !stays_on_host(dst) && is_unicast(dst);
}

#endif
