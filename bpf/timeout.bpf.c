// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: iterator over TCP sockets. A program's socket whose other host has died shall say so
 * (ETIMEDOUT), but its packets go to the daemon only, which is alive. When the daemon has become
 * deaf to them, this makes the socket find out soon: by a keep-alive probe that is not answered,
 * or by data that is not.
 */
#include "bpf/options.h"

struct sock_common;

struct bpf_iter__tcp {
	__u64 meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

static __always_inline void option_set(void *sk, int level, int name, int value)
{
	bpf_setsockopt(sk, level, name, &value, sizeof(value));
}

SEC("iter/tcp")
int tcpcrypt_time_out(struct bpf_iter__tcp *ctx)
{
	struct sock_common *common = ctx->sk_common;
	struct tcp_sock *sk = common ? bpf_skc_to_tcp_sock(common) : NULL;
	struct app_sock *app;
	__u64 flow;

	if (!sk)
		return 0;
	app = bpf_sk_storage_get(&app_socks, sk, NULL, 0);
	if (!app)
		return 0;
	flow = app->flow;
	if (bpf_map_delete_elem(&dying, &flow))
		return 0;
	option_set(sk, SOL_TCP, TCP_USER_TIMEOUT, 1);
	option_set(sk, SOL_TCP, TCP_KEEPINTVL, 1);
	option_set(sk, SOL_SOCKET, SO_KEEPALIVE, 1);
	option_set(sk, SOL_TCP, TCP_KEEPIDLE, 1);
	return 0;
}

char timeout_license[] SEC("license") = "Dual BSD/GPL";
