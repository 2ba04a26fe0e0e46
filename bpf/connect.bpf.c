// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup connect4 and connect6. Decides whether a program's connection goes through
 * the daemon; if so, turns it to the daemon's loopback listener and notes on the socket
 * where it wanted to go. The SYN is then held (hold.bpf.c) until the far side has answered.
 */
#include "bpf/maps.h"
#include "bpf/eno_options.h"
#include "bpf/inproc.h"
#include "bpf/kind.h"
#include "bpf/options.h"
#include "bpf/place.h"
#include "bpf/policy_find.h"
#include "bpf/secret_offer.h"

#define SOCK_STREAM  1
#define ECONNREFUSED 111

/* Has the program tied the socket to something that a second connection cannot take over: a
 * device, a local port, a loopback address (from which the kernel refuses to connect), one that is
 * not this host's (what IP_TRANSPARENT and IP_FREEBIND let a program do, they do not let us)? */
static __always_inline int is_tied(struct bpf_sock_addr *ctx)
{
	struct bpf_sock *sk = ctx->sk;
	struct shared_endpoint src;

	if (!sk || sk->bound_dev_if || sk->src_port)
		return 1;
	if (!bound_to(sk, &src))
		return 0;
	return is_loopback((const __u32 *)src.addr) ||
	       !bpf_map_lookup_elem(&own_addresses, src.addr);
}

static __always_inline void program_set(struct app_sock *app, struct bpf_sock_addr *ctx,
					const struct shared_settings *s)
{
	options_get(ctx, ctx->sk, &app->options, &s->usual);
	/* These are of no use once there is a connection. */
	option_get(ctx, &app->options, &s->usual, APP_SYNCNT, SOL_TCP, TCP_SYNCNT);
	option_get(ctx, &app->options, &s->usual, APP_MAXSEG, SOL_TCP, TCP_MAXSEG);
	app->mark = ctx->sk->mark;
	app->cookie = bpf_get_socket_cookie(ctx);
	app->uid = bpf_get_current_uid_gid();
	app->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(app->comm, sizeof(app->comm));
}

static __always_inline void report_remembered(const struct shared_settings *s,
					      const struct shared_endpoint *dst)
{
	__u32 slot = worker_choose(settings_serving(s));
	__u64 end = event_end(slot);
	struct shared_event *e = event_reserve(slot);

	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_REMEMBERED;
	e->app.peer = *dst;
	e->app.uid = bpf_get_current_uid_gid();
	e->app.pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(e->app.comm, sizeof(e->app.comm));
	event_submit_quietly(e, slot, end);
}

/* Without a rule for it: a port left alone, or a destination that was plain lately. */
static __always_inline int usually_left_alone(const struct shared_settings *s,
					      const struct shared_endpoint *dst,
					      enum policy_action policy)
{
	const struct shared_plain *plain;

	if (policy == POLICY_NONE && settings_port_left_alone(s, dst->port))
		return 1;
	plain = bpf_map_lookup_elem(&plain_destinations, dst);
	if (!plain || plain->until <= bpf_ktime_get_ns())
		return 0;
	report_remembered(s, dst);
	return 1;
}

/* What cannot be encrypted, by whomever. */
static __always_inline enum shared_left_alone cannot_encrypt(struct bpf_sock_addr *ctx,
							     const struct shared_settings *s)
{
	if (!settings_daemon_lives(s))
		return SHARED_DAEMON_HANGS;
	/* Only the program's own kernel socket knows the keys, and SYNs have no room for both. */
	if (is_signed(ctx->sk))
		return SHARED_SIGNED;
	return is_subflow(ctx->sk) ? SHARED_MULTIPATH : SHARED_NOT_LEFT_ALONE;
}

/* What the daemon could not do even if it were to. */
static __always_inline enum shared_left_alone cannot_take(struct bpf_sock_addr *ctx,
							  const struct shared_settings *s,
							  const struct shared_endpoint *dst)
{
	if (is_tied(ctx))
		return SHARED_TIED;
	if (s->paused || !settings_serving(s).out_port)
		return SHARED_DAEMON_PAUSED;
	if (!settings_loopback(s, is_v4_mapped((const __u32 *)dst->addr)))
		return SHARED_NO_LOOPBACK;
	if (is_near_only(ctx->sk))
		return SHARED_NEAR_ONLY;
	if (has_ip_options(ctx->sk))
		return SHARED_IP_OPTIONS;
	return is_link_local(dst) ? SHARED_LINK_LOCAL : SHARED_NOT_LEFT_ALONE;
}

/* Why the connection is not the daemon's, if so. A program's own wish overrules `off` and
 * `prefer`; under `require` nothing is remembered. */
static __always_inline enum shared_left_alone left_alone(struct bpf_sock_addr *ctx,
							 const struct shared_settings *s,
							 const struct shared_wishes *w,
							 const struct shared_endpoint *dst,
							 enum policy_action policy)
{
	enum shared_left_alone why = SHARED_NOT_LEFT_ALONE;

	if (!is_governed(dst))
		return SHARED_BY_CHOICE;
	if (w && w->raw.len)
		return SHARED_RAW;
	if (w && wishes_off(w))
		return SHARED_WISH;
	/* Who encrypts by himself does so on his own socket, which may be tied to what he likes. */
	if (!w || !w->inproc)
		why = cannot_take(ctx, s, dst);
	if (!why)
		why = cannot_encrypt(ctx, s);
	if (why || policy == POLICY_REQUIRE || (w && wishes_on(w)))
		return why;
	return policy == POLICY_OFF || usually_left_alone(s, dst, policy) ? SHARED_BY_CHOICE
									  : SHARED_NOT_LEFT_ALONE;
}

/* What an earlier connect() of this socket, which failed, has left. */
static __always_inline void app_forget(struct bpf_sock_addr *ctx)
{
	struct app_sock *app = bpf_sk_storage_get(&app_socks, ctx->sk, NULL, 0);
	struct shared_told key = { .type = SHARED_EVENT_OPTIONS };

	if (!app)
		return;
	key.cookie = app->cookie;
	bpf_map_delete_elem(&released, &key.cookie);
	bpf_map_delete_elem(&unheard, &key.cookie);
	/* What is set on the socket is read anew, and what will be is to be told anew: the word that is
	 * under way is of the connection before. */
	bpf_map_delete_elem(&untold, &key.cookie);
	bpf_map_delete_elem(&changed_options, &key.cookie);
	bpf_map_delete_elem(&told, &key);
	bpf_sk_storage_delete(&app_socks, ctx->sk);
}

/* Notes on the socket where it wanted to go; it goes to the loopback port instead. */
static __always_inline enum shared_left_alone take(struct bpf_sock_addr *ctx,
						   const struct shared_settings *s,
						   const struct shared_endpoint *dst,
						   enum policy_action policy, __u16 *ret_port)
{
	union shared_serving serving = settings_serving(s);
	struct app_sock *app;

	app_forget(ctx);
	app = bpf_sk_storage_get(&app_socks, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!app)
		return SHARED_NO_MEMORY;
	app->peer = *dst;
	app->slot = worker_choose(serving);
	app->port = serving.out_port;
	app->policy = policy;
	app->remembered = !!bpf_map_lookup_elem(&plain_destinations, dst);
	program_set(app, ctx, s);
	*ret_port = serving.out_port;
	return SHARED_NOT_LEFT_ALONE;
}

/* The program brings its own TEP: its SYN carries what it says. */
static __always_inline void raw_begin(struct bpf_sock_addr *ctx, const struct shared_wishes *w)
{
	struct eno_sock *sock;

	sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_RAW;
	sock->own[0] = ENO_KIND;
	sock->own[1] = w->raw.len + 2;
	__builtin_memcpy(sock->own + 2, w->raw.bytes, TCP_ENO_RAW_MAX);
	sock->own_len = w->raw.len + 2;
}

/* The program encrypts by itself: its SYN makes the host's offer, on the program's own socket. */
static __always_inline enum shared_left_alone inproc_begin(struct bpf_sock_addr *ctx,
							   const struct shared_settings *s,
							   const struct shared_wishes *w,
							   const struct shared_endpoint *dst,
							   int required)
{
	struct eno_sock *sock;

	sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return SHARED_NO_MEMORY;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_INPROC;
	sock->required = required || w->tep_mandatory;
	inproc_offer(s, w, sock);
	offer_resumption(sock, w, dst);
	return SHARED_NOT_LEFT_ALONE;
}

/* Does a program of this host listen there that wants no plain connection? What stays on
 * the host is never encrypted. */
static __always_inline int listener_refuses(struct bpf_sock_addr *ctx,
					    const struct shared_endpoint *dst)
{
	const __u32 *w = (const __u32 *)dst->addr;
	struct bpf_sock_tuple t = {};
	struct shared_wishes *wish;
	struct bpf_sock *sk;
	int refuses;

	if (is_v4_mapped(w)) {
		t.ipv4.daddr = w[3] ? w[3] : bpf_htonl(0x7f000001);
		t.ipv4.dport = bpf_htons(dst->port);
		sk = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	} else {
		__builtin_memcpy(t.ipv6.daddr, dst->addr, 16);
		if (!w[0] && !w[1] && !w[2] && !w[3])
			t.ipv6.daddr[3] = bpf_htonl(1);
		t.ipv6.dport = bpf_htons(dst->port);
		sk = bpf_sk_lookup_tcp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	if (!sk)
		return 0;
	wish = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	refuses = wish && wish->tep_mandatory && !wish->raw.len;
	bpf_sk_release(sk);
	return refuses;
}

/*
 * Connecting to the server's address from the same address would use up its ephemeral ports,
 * each for a minute after the connection. From 127/8 there are plenty, and the kernel uses
 * those of ended connections again. Not so for IPv6: to ::1 the kernel sends no RST in the name
 * of a socket that is gone (it looks for the way on the interface that has the server's address),
 * so a server that has closed would never be known to have.
 */
static __always_inline void source_spread(struct bpf_sock_addr *ctx, __u64 flow)
{
	struct sockaddr_in source = { .sin_family = AF_INET };

	source.sin_addr.s_addr = bpf_htonl(127u << 24 | (__u32)(1 + flow / 64516 % 254) << 16 |
					   (__u32)(1 + flow / 254 % 254) << 8 |
					   (__u32)(1 + flow % 254));
	/* Where it fails (lo may have no address), the kernel chooses the source. The port is chosen
	 * when the destination is known. */
	bpf_bind(ctx, (struct sockaddr *)&source, sizeof(source));
}

/* One of the daemon's own connects: what is cheaper to set from here. */
static __always_inline void daemon_prepare(struct bpf_sock_addr *ctx, const struct eno_sock *sock)
{
	int one = 1;

	/* Frames are written whole: waiting for more could only delay them. */
	bpf_setsockopt(ctx, SOL_TCP, TCP_NODELAY, &one, sizeof(one));
	if (sock->kind == ENO_SOCK_TO_APP && ctx->family == AF_INET)
		source_spread(ctx, sock->client.flow);
}

/* 0: the connection is made as *ret_port says; otherwise the error of connect(). */
static __always_inline int steer(struct bpf_sock_addr *ctx, const struct shared_endpoint *dst,
				 __u16 *ret_port)
{
	struct shared_settings *s = settings_get();
	struct policy_verdict verdict = {};
	struct shared_wishes *w = NULL;
	struct shared_endpoint src;
	enum shared_left_alone why;
	struct eno_sock *sock;

	*ret_port = 0;
	if (!s || bpf_get_netns_cookie(ctx) != s->netns_cookie || !ctx->sk)
		return 0;
	if (ctx->type != SOCK_STREAM || ctx->protocol != IPPROTO_TCP)
		return 0;
	sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0);
	if (sock && sock->kind != ENO_SOCK_RAW && sock->kind != ENO_SOCK_INPROC) {
		daemon_prepare(ctx, sock);
		return 0;
	}
	if (sock)
		bpf_sk_storage_delete(&eno_socks, ctx->sk);
	if (s->wishes)
		w = bpf_sk_storage_get(&wishes, ctx->sk, NULL, 0);
	if (is_governed(dst)) {
		bound_to(ctx->sk, &src);
		verdict = policy_out(ctx->sk, &src, dst);
	}
	why = left_alone(ctx, s, w, dst, verdict.action);
	if (!why && w && w->inproc) {
		app_forget(ctx);
		why = inproc_begin(ctx, s, w, dst, verdict.action == POLICY_REQUIRE);
	} else if (!why) {
		why = take(ctx, s, dst, verdict.action, ret_port);
	}
	if (!why)
		return 0;
	/* A socket may connect again after a failure, this time directly. */
	app_forget(ctx);
	if (verdict.action == POLICY_REQUIRE) {
		refusal_tell_out(dst, why, verdict.line);
		return -ECONNREFUSED;
	}
	if (w && w->raw.len) {
		raw_begin(ctx, w);
		return 0;
	}
	if (w && w->tep_mandatory)
		return -ECONNREFUSED;
	return s->wishes && stays_on_host(dst) && listener_refuses(ctx, dst) ? -ECONNREFUSED : 0;
}

static __always_inline int refuse(int error)
{
	bpf_set_retval(error);
	return 0;
}

/*
 * One of the loopback network's many addresses for each destination: between two fixed ends
 * there are only as many connections as ephemeral ports.
 */
static __always_inline __u32 loopback_for(__u32 addr, __u16 port)
{
	__u32 h = (bpf_ntohl(addr) ^ ((__u32)port << 16 | port)) * 2654435761u;

	return bpf_htonl(127u << 24 | (1 + (h >> 24) % 254) << 16 |
			 (1 + (h >> 16 & 255) % 254) << 8 | (1 + (h >> 8 & 255) % 254));
}

SEC("cgroup/connect4")
int tcpcrypt_connect4(struct bpf_sock_addr *ctx)
{
	struct shared_endpoint dst;
	__u16 port;
	int error;

	endpoint_set_v4(&dst, ctx->user_ip4, bpf_ntohs(ctx->user_port));
	error = steer(ctx, &dst, &port);
	if (error)
		return refuse(error);
	if (port) {
		ctx->user_ip4 = loopback_for(ctx->user_ip4, dst.port);
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
	int error;

	w[0] = ctx->user_ip6[0];
	w[1] = ctx->user_ip6[1];
	w[2] = ctx->user_ip6[2];
	w[3] = ctx->user_ip6[3];
	dst.port = bpf_ntohs(ctx->user_port);
	dst.pad = 0;
	error = steer(ctx, &dst, &port);
	if (error)
		return refuse(error);
	if (port) {
		ctx->user_ip6[0] = 0;
		ctx->user_ip6[1] = 0;
		ctx->user_ip6[2] = is_v4_mapped(w) ? bpf_htonl(0xffff) : 0;
		ctx->user_ip6[3] = is_v4_mapped(w) ? loopback_for(w[3], dst.port) : bpf_htonl(1);
		ctx->user_port = bpf_htons(port);
	}
	return 1;
}

char connect_license[] SEC("license") = "Dual BSD/GPL";
