/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What TCP sockets are besides: signed, or parts of a Multipath TCP connection. Kernel side. */
#ifndef BPF_KIND_H
#define BPF_KIND_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct ipv6_pinfo {
	void *opt;	     /* extension headers to send */
	__s16 hop_limit : 9; /* -1: the default */
	__u8 min_hopcount;
	__u8 tclass;
} __attribute__((preserve_access_index));

struct inet_sock {
	struct ipv6_pinfo *pinet6;
	void *inet_opt; /* IP options to send */
	__s16 uc_ttl;	/* -1: the default */
	__u8 tos;
	__u8 min_ttl;
} __attribute__((preserve_access_index));

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	__u8 icsk_ca_setsockopt : 1;
	__u32 icsk_user_timeout;
} __attribute__((preserve_access_index));

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	unsigned int keepalive_time, keepalive_intvl; /* 0, as the next two: never set */
	__u8 keepalive_probes;
	__u32 notsent_lowat;
	void *md5sig_info;
	void *ao_info;
	_Bool is_mptcp;
} __attribute__((preserve_access_index));

/* Has it keys for TCP MD5 signatures (RFC 2385) or TCP-AO (RFC 5925)? sk: of any state,
 * listeners included. */
static __always_inline int is_signed(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (!tp)
		return 0;
	if (bpf_core_field_exists(tp->md5sig_info) && tp->md5sig_info)
		return 1;
	return bpf_core_field_exists(tp->ao_info) && tp->ao_info;
}

/* Does it take packets from so many hops away only (IP_MINTTL, IPV6_MINHOPCOUNT)? The SYN-ACK shall
 * tell, and the daemon's at the other end would be wrong. */
static __always_inline int is_near_only(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct ipv6_pinfo *v6;

	if (!tp)
		return 0;
	v6 = tp->inet_conn.icsk_inet.pinet6;
	return tp->inet_conn.icsk_inet.min_ttl || (v6 && v6->min_hopcount);
}

/* Has the program asked for IP options or extension headers? They would go to the daemon only, and
 * behind extension headers nobody finds the SYN. */
static __always_inline int has_ip_options(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct ipv6_pinfo *v6;

	if (!tp)
		return 0;
	v6 = tp->inet_conn.icsk_inet.pinet6;
	return tp->inet_conn.icsk_inet.inet_opt || (v6 && v6->opt);
}

/* The listener's, which its SYN-ACK must have, and all that its connections send: a route, maybe, that leads
 * away from the daemon. (IPv4's are those of the SYN.) */
static __always_inline int has_own_headers(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct ipv6_pinfo *v6;

	if (!tp)
		return 0;
	v6 = tp->inet_conn.icsk_inet.pinet6;
	return v6 && v6->opt;
}

static __always_inline __s32 hop_limit(struct ipv6_pinfo *v6)
{
	return (__s32)BPF_CORE_READ_BITFIELD(v6, hop_limit);
}

/* Has a listener hops of its own, with which its SYN-ACK must go? */
static __always_inline int has_own_hops(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct ipv6_pinfo *v6;

	if (!tp)
		return 0;
	v6 = tp->inet_conn.icsk_inet.pinet6;
	return tp->inet_conn.icsk_inet.uc_ttl != -1 || (v6 && hop_limit(v6) != -1);
}

/* Is the congestion control what a program asked for, and not what the route or the host has? */
static __always_inline int congestion_chosen(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_setsockopt);
}

/* A subflow: the program's own socket is another one, which knows nothing of what is noted
 * here. */
static __always_inline int is_subflow(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && bpf_core_field_exists(tp->is_mptcp) && tp->is_mptcp;
}

#endif
