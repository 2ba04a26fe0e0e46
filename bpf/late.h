/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Options that a program sets on a socket whose connection is the daemon's already: they are
 * noted for the daemon, which sets them on the connection to the other host, where the kernel
 * judges them as it does here. What it grants to the privileged only is noted for these only,
 * since the daemon is one of them. Kernel side.
 */
#ifndef BPF_LATE_H
#define BPF_LATE_H

#include "bpf/netns.h"
#include "bpf/options.h"
#include "bpf/sockopt.h"

#define CAP_NET_ADMIN  12
#define CAP_NET_RAW    13
#define PRIORITY_FREE  6	   /* up to here it needs no capability */
#define APP_CONGESTION APP_OPTIONS /* the one that is a name */

struct nsproxy {
	struct net *net_ns;
} __attribute__((preserve_access_index));

struct kernel_capabilities {
	__u64 bits;
};

struct cred {
	struct kernel_capabilities cap_effective;
	struct user_namespace *user_ns;
} __attribute__((preserve_access_index));

struct task_struct {
	const struct cred *cred;
	struct nsproxy *nsproxy;
} __attribute__((preserve_access_index));

/*
 * Has the calling task one of these capabilities (a mask) over the namespace that is served? No
 * for those of other namespaces, whatever they may: the socket's own cannot be seen from here.
 */
static __always_inline int is_capable(__u64 mask)
{
	struct task_struct *task = (struct task_struct *)bpf_get_current_task();
	const struct cred *cred = BPF_CORE_READ(task, cred);
	struct net *net = BPF_CORE_READ(task, nsproxy, net_ns);
	struct shared_settings *s = settings_get();
	__u64 effective = 0;

	if (!s || BPF_CORE_READ(net, net_cookie) != s->netns_cookie ||
	    BPF_CORE_READ(cred, user_ns) != BPF_CORE_READ(net, user_ns))
		return 0;
	bpf_core_read(&effective, sizeof(effective), &cred->cap_effective);
	return !!(effective & mask);
}

static __always_inline int socket_option(int name)
{
	switch (name) {
	case SO_KEEPALIVE:
		return APP_KEEPALIVE;
	case SO_PRIORITY:
		return APP_PRIORITY;
	case SO_MARK:
		return APP_MARK;
	case SO_MAX_PACING_RATE:
		return APP_PACING_RATE;
	default:
		return -1;
	}
}

static __always_inline int tcp_option(int name)
{
	switch (name) {
	case TCP_KEEPIDLE:
		return APP_KEEPIDLE;
	case TCP_KEEPINTVL:
		return APP_KEEPINTVL;
	case TCP_KEEPCNT:
		return APP_KEEPCNT;
	case TCP_USER_TIMEOUT:
		return APP_USER_TIMEOUT;
	case TCP_NOTSENT_LOWAT:
		return APP_NOTSENT_LOWAT;
	case TCP_CONGESTION:
		return APP_CONGESTION;
	default:
		return -1;
	}
}

static __always_inline int ip_option(int name)
{
	switch (name) {
	case IP_TOS:
		return APP_TOS;
	case IP_TTL:
		return APP_TTL;
	case IP_MINTTL:
		return APP_MINTTL;
	default:
		return -1;
	}
}

static __always_inline int ipv6_option(int name)
{
	switch (name) {
	case IPV6_TCLASS:
		return APP_TCLASS;
	case IPV6_UNICAST_HOPS:
		return APP_HOPS;
	case IPV6_MINHOPCOUNT:
		return APP_MINHOPS;
	default:
		return -1;
	}
}

/* Which one this call writes; -1: none. */
static __always_inline int option_of(int level, int name)
{
	switch (level) {
	case SOL_SOCKET:
		return socket_option(name);
	case SOL_TCP:
		return tcp_option(name);
	case SOL_IP:
		return ip_option(name);
	case SOL_IPV6:
		return ipv6_option(name);
	default:
		return -1;
	}
}

/* The value as the kernel will read it, or an error as it will give. */
static __always_inline int value_read(struct bpf_sockopt *ctx, int option, __s32 *ret)
{
	void *end = ctx->optval_end;
	__u64 *wide = ctx->optval;
	__s32 *word = ctx->optval;
	__u8 *byte = ctx->optval;
	int len = optlen_get(ctx);

	if (option == APP_PACING_RATE && len >= (int)sizeof(*wide) && (void *)(wide + 1) <= end) {
		*ret = *wide > 0xffffffff ? -1 : (__s32)*wide;
		return 0;
	}
	if (len >= (int)sizeof(*word) && (void *)(word + 1) <= end) {
		*ret = *word;
		return 0;
	}
	/* IP's options may be bytes. */
	if (option < APP_TOS || option > APP_MINTTL || len < 1 || (void *)(byte + 1) > end)
		return -EINVAL;
	*ret = *byte;
	return 0;
}

static __always_inline void name_read(struct bpf_sockopt *ctx, char name[SHARED_CONGESTION_LEN])
{
	char *in = ctx->optval, *end = ctx->optval_end;
	int len = optlen_get(ctx);

	__builtin_memset(name, 0, SHARED_CONGESTION_LEN);
	for (int i = 0; i < SHARED_CONGESTION_LEN - 1; i++) {
		if (i >= len || in + i + 1 > end || !in[i])
			break;
		name[i] = in[i];
	}
}

static __always_inline int is_allowed(int option, __s32 value)
{
	if (option == APP_MARK || (option == APP_PRIORITY && (__u32)value > PRIORITY_FREE))
		return is_capable(1 << CAP_NET_ADMIN | 1 << CAP_NET_RAW);
	return 1;
}

static __always_inline struct app_options *changed_get(__u64 cookie)
{
	struct app_options none = {}, *o = bpf_map_lookup_elem(&changed_options, &cookie);

	if (o)
		return o;
	bpf_map_update_elem(&changed_options, &cookie, &none, BPF_NOEXIST);
	return bpf_map_lookup_elem(&changed_options, &cookie);
}

/* A socket's own end, which while connect() is under way the daemon knows it by. The barriers keep
 * the compiler from addressing the socket through a changed pointer, which the verifier refuses. */
static __always_inline void own_end(struct bpf_sock *sk, struct shared_endpoint *ret)
{
	__u32 *words = (__u32 *)ret->addr;
	__u32 v4 = sk->src_ip4, port = sk->src_port, w;

	barrier_var(v4);
	barrier_var(port);
	if (sk->family == AF_INET) {
		endpoint_set_v4(ret, v4, port);
		return;
	}
	w = sk->src_ip6[0];
	barrier_var(w);
	words[0] = w;
	w = sk->src_ip6[1];
	barrier_var(w);
	words[1] = w;
	w = sk->src_ip6[2];
	barrier_var(w);
	words[2] = w;
	w = sk->src_ip6[3];
	barrier_var(w);
	words[3] = w;
	ret->port = port;
	ret->pad = 0;
}

/* Would it send the packets elsewhere: to a device, or by a source route? */
static __always_inline int leads_away(int level, int name)
{
	switch (level) {
	case SOL_SOCKET:
		return name == SO_BINDTODEVICE || name == SO_BINDTOIFINDEX;
	case SOL_IP:
		return name == IP_OPTIONS;
	case SOL_IPV6:
		return name == IPV6_RTHDR || name == IPV6_2292RTHDR || name == IPV6_2292PKTOPTS;
	default:
		return 0;
	}
}

/*
 * Between a program and the daemon all is plain, and stays on loopback: to the addresses there the
 * kernel would send by any device that it is told, out into the network. So it is not told.
 */
static __noinline int option_ignored(struct bpf_sockopt *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk || sk->state == BPF_TCP_CLOSE || sk->state == BPF_TCP_LISTEN)
		return 0;
	return !!bpf_sk_storage_get(&app_socks, sk, NULL, 0);
}

static __noinline int option_late(struct bpf_sockopt *ctx, int option)
{
	struct bpf_sock *sk = ctx->sk;
	struct app_sock *app = sk ? bpf_sk_storage_get(&app_socks, sk, NULL, 0) : NULL;
	struct shared_endpoint end;
	struct app_options *o;
	__s32 value = 0;

	if (!app || option < 0 || option > APP_CONGESTION)
		return 0;
	if (option != APP_CONGESTION &&
	    (value_read(ctx, option, &value) || !is_allowed(option, value)))
		return 0;
	o = changed_get(app->cookie);
	if (!o)
		return 0;
	if (option == APP_CONGESTION) {
		o->free_choice = is_capable(1 << CAP_NET_ADMIN);
		name_read(ctx, o->congestion);
	} else {
		o->value[option] = value;
		__sync_fetch_and_or(&o->set, 1u << option);
		/* A class of service brings its priority along. */
		if (option == APP_TOS)
			__sync_fetch_and_and(&o->set, ~(1u << APP_PRIORITY));
	}
	own_end(sk, &end);
	return options_tell(app, &end);
}

#endif
