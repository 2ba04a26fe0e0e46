// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup getpeername and getsockname, which also serve accept(). A program whose
 * connection goes through the daemon sees the addresses of the real one.
 */
#include "bpf/maps.h"

static __always_inline struct app_sock *app_sock_get(struct bpf_sock_addr *ctx)
{
	return ctx->sk ? bpf_sk_storage_get(&app_socks, ctx->sk, NULL, 0) : NULL;
}

/* The port of a connection that has ended is none of the socket's any more: has it got another one since,
 * by bind() or listen()? */
static __always_inline int is_bound_anew(struct bpf_sock *sk)
{
	return sk && (sk->state == BPF_TCP_LISTEN || (sk->state == BPF_TCP_CLOSE && sk->src_port));
}

/* The local end to show: known to the socket since connect() completed; before that to the
 * daemon's socket alone. */
static __always_inline const struct shared_endpoint *local_of(struct bpf_sock_addr *ctx)
{
	struct app_sock *app = app_sock_get(ctx);
	struct shared_flow_end *upstream;

	if (is_bound_anew(ctx->sk))
		return NULL;
	if (!app || app->local.port)
		return app ? &app->local : NULL;
	upstream = bpf_map_lookup_elem(&released, &app->cookie);
	return upstream ? &upstream->end : NULL;
}

static __always_inline void show_v4(struct bpf_sock_addr *ctx, const struct shared_endpoint *e)
{
	if (!e->port)
		return;
	ctx->user_ip4 = ((const __u32 *)e->addr)[3];
	ctx->user_port = bpf_htons(e->port);
}

static __always_inline void show_v6(struct bpf_sock_addr *ctx, const struct shared_endpoint *e)
{
	const __u32 *w = (const __u32 *)e->addr;

	if (!e->port)
		return;
	ctx->user_ip6[0] = w[0];
	ctx->user_ip6[1] = w[1];
	ctx->user_ip6[2] = w[2];
	ctx->user_ip6[3] = w[3];
	ctx->user_port = bpf_htons(e->port);
}

SEC("cgroup/getpeername4")
int tcpcrypt_getpeername4(struct bpf_sock_addr *ctx)
{
	struct app_sock *app = app_sock_get(ctx);

	if (app)
		show_v4(ctx, &app->peer);
	return 1;
}

SEC("cgroup/getpeername6")
int tcpcrypt_getpeername6(struct bpf_sock_addr *ctx)
{
	struct app_sock *app = app_sock_get(ctx);

	if (app)
		show_v6(ctx, &app->peer);
	return 1;
}

SEC("cgroup/getsockname4")
int tcpcrypt_getsockname4(struct bpf_sock_addr *ctx)
{
	const struct shared_endpoint *local = local_of(ctx);

	if (!local)
		return 1;
	/* Disconnected: the address is gone, the port is kept. */
	if (ctx->user_ip4)
		show_v4(ctx, local);
	else if (local->port)
		ctx->user_port = bpf_htons(local->port);
	return 1;
}

SEC("cgroup/getsockname6")
int tcpcrypt_getsockname6(struct bpf_sock_addr *ctx)
{
	const struct shared_endpoint *local = local_of(ctx);
	__u32 shown = ctx->user_ip6[0] | ctx->user_ip6[1] | ctx->user_ip6[2] | ctx->user_ip6[3];

	if (!local)
		return 1;
	if (shown)
		show_v6(ctx, local);
	else if (local->port)
		ctx->user_port = bpf_htons(local->port);
	return 1;
}

char getname_license[] SEC("license") = "Dual BSD/GPL";
