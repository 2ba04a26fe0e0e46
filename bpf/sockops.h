/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the parts of the sockops program have in common. Kernel side. */
#ifndef BPF_SOCKOPS_H
#define BPF_SOCKOPS_H

#include "bpf/maps.h"
#include "bpf/options.h"

#define TCPHDR_SYN 0x02
#define TCPHDR_ACK 0x10

#define TCP_SAVE_SYN 27

/* The barriers keep the compiler from addressing the context through a changed pointer, which
 * the verifier refuses. */
#define READ_CONTEXT(var, field) \
	__u32 var = (field);     \
	barrier_var(var)

static __always_inline void endpoint_set(struct shared_endpoint *e, __u32 family, __u32 v4,
					 const __u32 v6[4], __u16 port)
{
	__u32 *words = (__u32 *)e->addr;

	if (family == AF_INET) {
		endpoint_set_v4(e, v4, port);
		return;
	}
	for (int i = 0; i < 4; i++)
		words[i] = v6[i];
	e->port = port;
	e->pad = 0;
}

static __always_inline void tuple_set(struct shared_tuple *t, struct bpf_sock_ops *ops)
{
	READ_CONTEXT(l0, ops->local_ip6[0]);
	READ_CONTEXT(l1, ops->local_ip6[1]);
	READ_CONTEXT(l2, ops->local_ip6[2]);
	READ_CONTEXT(l3, ops->local_ip6[3]);
	READ_CONTEXT(r0, ops->remote_ip6[0]);
	READ_CONTEXT(r1, ops->remote_ip6[1]);
	READ_CONTEXT(r2, ops->remote_ip6[2]);
	READ_CONTEXT(r3, ops->remote_ip6[3]);
	READ_CONTEXT(local_ip4, ops->local_ip4);
	READ_CONTEXT(remote_ip4, ops->remote_ip4);
	const __u32 local[4] = { l0, l1, l2, l3 };
	const __u32 remote[4] = { r0, r1, r2, r3 };

	endpoint_set(&t->local, ops->family, local_ip4, local, ops->local_port);
	endpoint_set(&t->remote, ops->family, remote_ip4, remote, bpf_ntohl(ops->remote_port));
}

static __always_inline struct eno_sock *eno_sock_get(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	return sk ? bpf_sk_storage_get(&eno_socks, sk, NULL, 0) : NULL;
}

static __always_inline void flags_set(struct bpf_sock_ops *ops, __u32 set, __u32 clear)
{
	bpf_sock_ops_cb_flags_set(ops, (ops->bpf_sock_ops_cb_flags & ~clear) | set);
}

#define FLAGS_ENO (BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG | BPF_SOCK_OPS_PARSE_ALL_HDR_OPT_CB_FLAG)

#endif
