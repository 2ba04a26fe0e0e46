/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What TCP sockets are besides: signed, or parts of a Multipath TCP connection. Kernel side. */
#ifndef BPF_KIND_H
#define BPF_KIND_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

struct tcp_sock {
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

/* A subflow: the program's own socket is another one, which knows nothing of what is noted
 * here. */
static __always_inline int is_subflow(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && bpf_core_field_exists(tp->is_mptcp) && tp->is_mptcp;
}

#endif
