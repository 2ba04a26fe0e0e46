/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the hooks getsockopt and setsockopt have in common. Both run for every option of
 * every program, so they are quick to find that an option is none of ours. Kernel side.
 */
#ifndef BPF_SOCKOPT_H
#define BPF_SOCKOPT_H

#include "bpf/maps.h"

#define ENOBUFS	    105
#define ENOMEM	    12
#define ENOENT	    2
#define EAGAIN	    11
#define EINVAL	    22
#define ENODATA	    61
#define ENOPROTOOPT 92
#define EISCONN	    106
#define ENOTCONN    107
#define ESTALE	    116

/* Of longer values the kernel shows the programs the beginning only, and takes it for the
 * whole unless told otherwise. A page, or less than one. */
#define OPTLEN_SHOWN 4096

/* The barrier keeps the compiler from addressing the context through a changed pointer, which
 * the verifier refuses. */
static __always_inline void optlen_set(struct bpf_sockopt *ctx, int len)
{
	barrier_var(ctx);
	ctx->optlen = len;
}

static __always_inline int optlen_get(struct bpf_sockopt *ctx)
{
	barrier_var(ctx);
	return ctx->optlen;
}

static __always_inline void pass_long(struct bpf_sockopt *ctx)
{
	if (optlen_get(ctx) > OPTLEN_SHOWN)
		optlen_set(ctx, 0);
}

/* The settings, if this call is for us: one of our options on a TCP socket of the namespace
 * that the daemon serves. */
static __always_inline struct shared_settings *settings_for(struct bpf_sockopt *ctx)
{
	struct shared_settings *s;
	struct bpf_sock *sk = ctx->sk;

	if (ctx->level != IPPROTO_TCP || !sk)
		return NULL;
	if ((ctx->optname < TCP_ENO_ENABLED || ctx->optname > TCP_CRYPT_NONCE_LEN) &&
	    ctx->optname != TCP_CRYPT_INPROC)
		return NULL;
	if ((sk->family != AF_INET && sk->family != AF_INET6) || sk->protocol != IPPROTO_TCP)
		return NULL;
	s = settings_get();
	return s && bpf_get_netns_cookie(ctx) == s->netns_cookie ? s : NULL;
}

static __always_inline int is_raw(struct bpf_sockopt *ctx)
{
	struct shared_wishes *w = bpf_sk_storage_get(&wishes, ctx->sk, NULL, 0);

	return w && w->raw.len;
}

/* The negotiation of a socket whose program encrypts by itself, or NULL. What follows from it
 * the library answers. */
static __always_inline struct eno_sock *inproc_find(struct bpf_sockopt *ctx)
{
	struct eno_sock *sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0);

	return sock && sock->kind == ENO_SOCK_INPROC ? sock : NULL;
}

/* A function of its own: merged with others' code, it would reckon with the socket's address. */
static __noinline int ends_read(struct bpf_sock *sk, struct shared_tuple *ends)
{
	__u32 *local, *remote;

	if (!sk || !ends)
		return 0;
	local = (__u32 *)ends->local.addr;
	remote = (__u32 *)ends->remote.addr;
	if (sk->family == AF_INET) {
		endpoint_set_v4(&ends->local, sk->src_ip4, sk->src_port);
		endpoint_set_v4(&ends->remote, sk->dst_ip4, bpf_ntohs(sk->dst_port));
		return 0;
	}
	local[0] = sk->src_ip6[0];
	local[1] = sk->src_ip6[1];
	local[2] = sk->src_ip6[2];
	local[3] = sk->src_ip6[3];
	remote[0] = sk->dst_ip6[0];
	remote[1] = sk->dst_ip6[1];
	remote[2] = sk->dst_ip6[2];
	remote[3] = sk->dst_ip6[3];
	ends->local.port = sk->src_port;
	ends->remote.port = bpf_ntohs(sk->dst_port);
	ends->local.pad = ends->remote.pad = 0;
	return 0;
}

/* What is shown of a flow, copied to its program's socket. NULL: nothing. */
static __always_inline struct shared_session *session_keep(struct bpf_sockopt *ctx, __u64 flow)
{
	__u32 place = shared_view(flow);
	struct shared_view *view = bpf_map_lookup_elem(&views, &place);
	struct shared_session *live = view ? &view->session : NULL, *kept;
	int mapped = live && __sync_fetch_and_add(&live->flow, 0) == flow;

	if (!mapped)
		live = bpf_map_lookup_elem(&sessions, &flow);
	if (!live)
		return NULL;
	bpf_sk_storage_delete(&app_sessions, ctx->sk);
	kept = bpf_sk_storage_get(&app_sessions, ctx->sk, live, BPF_SK_STORAGE_GET_F_CREATE);
	/* The flow may have ended meanwhile, and the place be another's. */
	if (kept && mapped && __sync_fetch_and_add(&live->flow, 0) != flow) {
		bpf_sk_storage_delete(&app_sessions, ctx->sk);
		return NULL;
	}
	return kept;
}

/*
 * The session of an encrypted connection in *ret. -ENOTCONN: there is none yet; -EINVAL:
 * there will be none, and *ret may tell why (8547-5.1-3).
 */
static __always_inline int session_find(struct bpf_sockopt *ctx, struct shared_session **ret)
{
	struct app_sock *app = bpf_sk_storage_get(&app_socks, ctx->sk, NULL, 0);
	struct shared_session *kept;
	__u32 state = ctx->sk->state;
	__u64 flow;

	*ret = NULL;
	if (state == BPF_TCP_LISTEN || (!app && state == BPF_TCP_CLOSE))
		return -ENOTCONN;
	if (!app)
		return -EINVAL;
	flow = app->flow;
	kept = bpf_sk_storage_get(&app_sessions, ctx->sk, NULL, 0);
	if (flow && (!kept || kept->flow != flow))
		kept = session_keep(ctx, flow);
	/* A socket that is used again is no longer what it was. */
	if (!flow || !kept || kept->flow != flow)
		return -ENOTCONN;
	*ret = kept;
	return kept->phase == TCP_ENO_ENCRYPTING ? 0 : -EINVAL;
}

#endif
