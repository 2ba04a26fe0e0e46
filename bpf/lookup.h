/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What the kernel looks for a listener for. Kernel side. */
#ifndef BPF_LOOKUP_H
#define BPF_LOOKUP_H

#include "bpf/maps.h"

static __always_inline void lookup_ends(struct shared_tuple *t, struct bpf_sk_lookup *ctx)
{
	__u32 *local = (__u32 *)t->local.addr, *remote = (__u32 *)t->remote.addr;

	if (ctx->family == AF_INET) {
		endpoint_set_v4(&t->local, ctx->local_ip4, ctx->local_port);
		endpoint_set_v4(&t->remote, ctx->remote_ip4, bpf_ntohs(ctx->remote_port));
		return;
	}
	local[0] = ctx->local_ip6[0];
	local[1] = ctx->local_ip6[1];
	local[2] = ctx->local_ip6[2];
	local[3] = ctx->local_ip6[3];
	remote[0] = ctx->remote_ip6[0];
	remote[1] = ctx->remote_ip6[1];
	remote[2] = ctx->remote_ip6[2];
	remote[3] = ctx->remote_ip6[3];
	t->local.port = ctx->local_port;
	t->remote.port = bpf_ntohs(ctx->remote_port);
	t->local.pad = t->remote.pad = 0;
}

#endif
