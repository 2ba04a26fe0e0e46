// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup connect4 and connect6. Decides whether a program's connection goes through
 * the daemon; if so, turns it to the daemon's loopback listener and notes on the socket
 * where it wanted to go. The SYN is then held (hold.bpf.c) until the far side has answered.
 */
#include "bpf/maps.h"

#define SOCK_STREAM 1

/* The loopback network, and the unspecified address, which connect() takes for loopback. */
static __always_inline int is_loopback_v4(__u32 addr)
{
	return !addr || (bpf_ntohl(addr) >> 24) == 127;
}

static __always_inline int is_v4_mapped(const __u32 *w)
{
	return !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);
}

static __always_inline int stays_on_host(const struct shared_endpoint *dst)
{
	const __u32 *w = (const __u32 *)dst->addr;

	if (is_v4_mapped(w) ? is_loopback_v4(w[3])
			    : !w[0] && !w[1] && !w[2] && (!w[3] || w[3] == bpf_htonl(1)))
		return 1;
	return bpf_map_lookup_elem(&own_addresses, dst->addr) != NULL;
}

/* Multicast, broadcast: let the kernel give its own error. */
static __always_inline int is_unicast(const struct shared_endpoint *dst)
{
	const __u32 *w = (const __u32 *)dst->addr;

	if (is_v4_mapped(w))
		return (bpf_ntohl(w[3]) >> 28) < 0xe;
	return dst->addr[0] != 0xff;
}

/* Link-local IPv6 needs its scope, which a changed address could not carry back. */
static __always_inline int is_link_local(const struct shared_endpoint *dst)
{
	return dst->addr[0] == 0xfe && (dst->addr[1] & 0xc0) == 0x80;
}

/* Has the program tied the socket to something that a second connection cannot take over:
 * a device, a local port, a loopback address (from which the kernel refuses to connect)? */
static __always_inline int is_tied(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	__u32 src[4];

	if (!sk || sk->bound_dev_if || sk->src_port)
		return 1;
	if (sk->family == AF_INET)
		return sk->src_ip4 && is_loopback_v4(sk->src_ip4);
	src[0] = sk->src_ip6[0];
	src[1] = sk->src_ip6[1];
	src[2] = sk->src_ip6[2];
	src[3] = sk->src_ip6[3];
	if (is_v4_mapped(src))
		return is_loopback_v4(src[3]);
	return !src[0] && !src[1] && !src[2] && src[3] == bpf_htonl(1);
}

static __always_inline void program_set(struct app_sock *app, struct bpf_sock_addr *ctx)
{
	app->mark = ctx->sk->mark;
	app->uid = bpf_get_current_uid_gid();
	app->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(app->comm, sizeof(app->comm));
}

static __always_inline void report_remembered(const struct shared_endpoint *dst)
{
	struct shared_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);

	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_REMEMBERED;
	e->app.peer = *dst;
	e->app.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(e->app.comm, sizeof(e->app.comm));
	bpf_ringbuf_submit(e, 0);
}

/* Returns the loopback port to connect to instead; 0: leave the connection alone. */
static __always_inline __u16 port_for(struct bpf_sock_addr *ctx, const struct shared_endpoint *dst)
{
	struct shared_settings *s = settings_get();
	struct app_sock *app;
	__u64 *plain_until;

	if (!s || bpf_get_netns_cookie(ctx) != s->netns_cookie)
		return 0;
	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP || is_tied(ctx))
		return 0;
	if (!settings_takes_connections(s) || !s->out_port ||
	    bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0))
		return 0;
	if (settings_port_left_alone(s, dst->port) || stays_on_host(dst) || !is_unicast(dst) ||
	    is_link_local(dst))
		return 0;
	plain_until = bpf_map_lookup_elem(&plain_destinations, dst);
	if (plain_until && *plain_until > bpf_ktime_get_ns()) {
		report_remembered(dst);
		return 0;
	}
	app = bpf_sk_storage_get(&app_socks, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!app)
		return 0;
	__builtin_memset(app, 0, sizeof(*app));
	app->peer = *dst;
	program_set(app, ctx);
	return s->out_port;
}

static __always_inline __u16 steer(struct bpf_sock_addr *ctx, const struct shared_endpoint *dst)
{
	__u16 port = port_for(ctx, dst);

	/* A socket may connect again after a failure, this time directly. */
	if (!port && ctx->sk)
		bpf_sk_storage_delete(&app_socks, ctx->sk);
	return port;
}

SEC("cgroup/connect4")
int tcpcrypt_connect4(struct bpf_sock_addr *ctx)
{
	struct shared_endpoint dst;
	__u16 port;

	endpoint_set_v4(&dst, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	port = steer(ctx, &dst);
	if (port) {
		ctx->user_ip4 = bpf_htonl(0x7f000001);
		ctx->user_port = bpf_htons(port);
	}
	return 1;
}

SEC("cgroup/connect6")
int tcpcrypt_connect6(struct bpf_sock_addr *ctx)
{
	struct shared_endpoint dst;
	__u32 *w = (__u32 *)dst.addr;
	__u16 port;

	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
	dst.port = bpf_ntohs(ctx->user_port);
	dst.pad = 0;
	port = steer(ctx, &dst);
	if (port) {
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = is_v4_mapped(w) ? bpf_htonl(0xffff) : 0;
		ctx->user_ip6[3] = is_v4_mapped(w) ? bpf_htonl(0x7f000001) : bpf_htonl(1);
		ctx->user_port = bpf_htons(port);
	}
	return 1;
}

char connect_license[] SEC("license") = "Dual BSD/GPL";
