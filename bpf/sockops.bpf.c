// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup sockops. Puts the ENO option into the segments of the daemon's own sockets,
 * reads the peer's, and decides the negotiation at the moment the handshake ends, because
 * the segment that depends on it leaves before user space could be asked. Also carries
 * addresses over from the daemon's sockets to the programs' ones.
 */
#include "bpf/maps.h"
#include "bpf/eno_options.h"

#define TCPHDR_FIN 0x01
#define TCPHDR_SYN 0x02
#define TCPHDR_ACK 0x10

#define TCP_HEADER_LEN 20
#define SOL_TCP	       6

/* An option area with the answer that goes with it: too large for callbacks' stacks twice. */
struct eno_answer {
	__u8 bytes[4];
	__u32 len;
};

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

/* The options of the segment that the callback is about, straight from its header. */
static __noinline int area_from_segment(struct bpf_sock_ops *ops, struct eno_area *a)
{
	__u8 *data = ops->skb_data;
	__u8 *end = ops->skb_data_end;

	if (!a || data + TCP_HEADER_LEN > end)
		return 0;
	a->len = (data[12] >> 4) * 4 - TCP_HEADER_LEN;
	if (a->len > SHARED_OPTION_MAX)
		return 0;
	data += TCP_HEADER_LEN;
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i++) {
		if (i >= a->len || data + i + 1 > end)
			break;
		a->bytes[i] = data[i];
	}
	eno_area_walk(a);
	return 1;
}

/* The options of the SYN that opened the connection: the segment at hand, or the saved one. */
static __noinline int area_from_syn(struct bpf_sock_ops *ops, struct eno_area *a)
{
	__u8 header[TCP_HEADER_LEN + SHARED_OPTION_MAX] = {};
	long len;

	if (!a)
		return 0;
	len = bpf_getsockopt(ops, SOL_TCP, TCP_BPF_SYN, header, sizeof(header));
	if (len < TCP_HEADER_LEN || len > (long)sizeof(header))
		return 0;
	a->len = len - TCP_HEADER_LEN;
	__builtin_memcpy(a->bytes, header + TCP_HEADER_LEN, SHARED_OPTION_MAX);
	eno_area_walk(a);
	return 1;
}

static __always_inline void option_keep(const struct eno_area *a, __u8 *to, __u32 *len)
{
	if (a->eno_count != 1 || a->eno_len > SHARED_OPTION_MAX)
		return;
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i++) {
		if (i >= a->eno_len)
			break;
		to[i] = a->bytes[(a->eno_at + i) & 63];
	}
	*len = a->eno_len;
}

/* The SYN-form option with which a SYN with these options is answered; len 0: none. */
static __noinline int answer_make(struct eno_area *a, struct eno_answer *answer)
{
	struct shared_settings *s = settings_get();
	struct eno_match m = {};
	__u8 tep;

	if (!s || !a || !answer)
		return 0;
	answer->len = 0;
	if (!eno_match_read(&m, a, s->teps))
		return 0;
	/* 8547-4.2-6: mandatory application-aware mode. */
	if (s->mandatory_app_aware && !(m.global & ENO_GLOBAL_A))
		return 0;
	tep = eno_match_answer(&m);
	if (!tep)
		return 0;
	/* 8547-4.2-3, 8547-4.2-8: an explicit global suboption with b = 1. */
	answer->bytes[0] = ENO_KIND;
	answer->bytes[1] = 4;
	answer->bytes[2] = ENO_GLOBAL_B | (s->global & ENO_GLOBAL_A);
	answer->bytes[3] = tep;
	answer->len = 4;
	return 1;
}

/* SYN-ACK of the steered listener, first sending or retransmission: the saved SYN makes
 * both the same (8547-4.6-4). */
static __noinline int answer_for_synack(struct bpf_sock_ops *ops, struct eno_answer *answer)
{
	struct eno_area area = {};

	return area_from_syn(ops, &area) && answer_make(&area, answer);
}

/* How long the ENO option of a segment of the daemon's own sockets is; 0: it has none. */
static __always_inline __u32 option_len(const struct eno_sock *sock, __u8 tcp_flags)
{
	/* 8547-4.6-5: an active opener may give ENO up between SYNs. */
	if (tcp_flags & TCPHDR_SYN)
		return sock->state == ENO_SOCK_PENDING ? sock->own_len : 0;
	/* 8547-4.1-2, 8547-4.6-1, 8547-4.6-2: kind and length only, until the peer has sent
	 * a non-SYN segment. */
	return sock->state == ENO_SOCK_ENABLED ? 2 : 0;
}

static __always_inline void reserve(struct bpf_sock_ops *ops, struct shared_settings *s)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u8 syn = ops->skb_tcp_flags & TCPHDR_SYN;
	struct eno_answer answer = {};
	__u32 len;

	if (!ops->is_fullsock) {
		/* A cookie keeps no SYN to negotiate from when the ACK comes. */
		if (ops->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE)
			s->cookie_ns = bpf_ktime_get_ns();
		else if (answer_for_synack(ops, &answer))
			bpf_reserve_hdr_opt(ops, answer.len, 0);
		return;
	}
	if (!sock)
		return;
	if (syn && sock->state == ENO_SOCK_PENDING && ++sock->syns > SHARED_SYNS_WITH_ENO) {
		sock->state = ENO_SOCK_DISABLED;
		sock->reason = ENO_SOCK_SYN_RETRIES;
	}
	len = option_len(sock, ops->skb_tcp_flags);
	if (len && bpf_reserve_hdr_opt(ops, len, 0) && syn) {
		/* Other options left no room: the connection is made without. */
		sock->state = ENO_SOCK_DISABLED;
		sock->own_len = 0;
	}
}

static __always_inline void store(struct bpf_sock_ops *ops)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u8 option[SHARED_OPTION_MAX] = { ENO_KIND, 2 };
	struct eno_answer answer = {};
	__u32 len;

	if (!ops->is_fullsock) {
		if (ops->args[0] != BPF_WRITE_HDR_TCP_SYNACK_COOKIE &&
		    answer_for_synack(ops, &answer))
			bpf_store_hdr_opt(ops, answer.bytes, sizeof(answer.bytes), 0);
		return;
	}
	len = sock ? option_len(sock, ops->skb_tcp_flags) : 0;
	if (len < 2 || len > sizeof(option))
		return;
	if (ops->skb_tcp_flags & TCPHDR_SYN)
		__builtin_memcpy(option, sock->own, sizeof(option));
	bpf_store_hdr_opt(ops, option, len, 0);
}

/* The SYN-ACK has come and the third segment is about to leave. */
static __always_inline void upstream_established(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};
	struct eno_match m = {};

	if (sock->state != ENO_SOCK_PENDING)
		goto plain;
	sock->state = ENO_SOCK_DISABLED;
	area_from_segment(ops, &area);
	option_keep(&area, sock->peer, &sock->peer_len);
	if (!eno_match_read(&m, &area, sock->teps) || !eno_match_accept(&m))
		goto plain;
	if (sock->mandatory_app_aware && !(m.global & ENO_GLOBAL_A))
		goto plain;
	sock->state = ENO_SOCK_ENABLED;
	flags_set(ops, FLAGS_ENO, 0);
	return;
plain:
	/* 8547-4.6-3: the third segment goes without ENO. */
	flags_set(ops, 0, FLAGS_ENO);
}

/* The ACK of a steered connection has come (decision D20: with or without data). */
static __always_inline void steered_established(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area syn = {};
	struct eno_area ack = {};
	struct eno_answer answer = {};

	flags_set(ops, 0, FLAGS_ENO);
	sock->state = ENO_SOCK_DISABLED;
	if (!area_from_syn(ops, &syn)) {
		sock->reason = ENO_SOCK_SYN_COOKIE;
		return;
	}
	option_keep(&syn, sock->peer, &sock->peer_len);
	if (!answer_make(&syn, &answer))
		return;
	__builtin_memcpy(sock->own, answer.bytes, sizeof(answer.bytes));
	sock->own_len = answer.len;
	/* 8547-4.6-3 case 1, 8547-4.6-7. */
	if (area_from_segment(ops, &ack) && ack.eno_count)
		sock->state = ENO_SOCK_ENABLED;
	else
		sock->reason = ENO_SOCK_NO_ACK;
}

/* The server's end of one of the daemon's connections: remember whom it shall see. */
static __always_inline void app_accepted(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_endpoint *client;
	struct shared_tuple key;
	struct app_sock *app;

	tuple_set(&key, ops);
	client = bpf_map_lookup_elem(&clients, &key);
	if (!client || !sk)
		return;
	app = bpf_sk_storage_get(&app_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (app)
		app->peer = *client;
	bpf_map_delete_elem(&clients, &key);
}

/* The program's connect() completes: from now on getsockname() tells the upstream's end. */
static __always_inline void app_connected(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct bpf_sock *sk = ops->sk;
	struct shared_endpoint *local;
	struct app_sock *app;

	if (!sk)
		return;
	app = bpf_sk_storage_get(&app_socks, sk, NULL, 0);
	local = app ? bpf_map_lookup_elem(&released, &cookie) : NULL;
	if (!local)
		return;
	app->local = *local;
	bpf_map_delete_elem(&released, &cookie);
}

/* The daemon connects to a local server: the other end of this tuple is the server's. */
static __always_inline void to_app_connecting(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct shared_tuple here, there;

	tuple_set(&here, ops);
	there.local = here.remote;
	there.remote = here.local;
	bpf_map_update_elem(&clients, &there, &sock->client, BPF_ANY);
}

SEC("sockops")
int tcpcrypt_sockops(struct bpf_sock_ops *ops)
{
	struct shared_settings *s = settings_get();
	struct eno_sock *sock;

	if (!s || bpf_get_netns_cookie(ops) != s->netns_cookie)
		return 1;
	switch (ops->op) {
	case BPF_SOCK_OPS_TCP_CONNECT_CB:
		sock = eno_sock_get(ops);
		if (sock && sock->kind == ENO_SOCK_UPSTREAM)
			flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
		else if (sock && sock->kind == ENO_SOCK_TO_APP)
			to_app_connecting(ops, sock);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		sock = eno_sock_get(ops);
		if (sock && sock->kind == ENO_SOCK_STEERED)
			flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		reserve(ops, s);
		break;
	case BPF_SOCK_OPS_WRITE_HDR_OPT_CB:
		store(ops);
		break;
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		sock = eno_sock_get(ops);
		if (!sock)
			app_connected(ops);
		else if (sock->kind == ENO_SOCK_UPSTREAM)
			upstream_established(ops, sock);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		sock = eno_sock_get(ops);
		if (!sock)
			app_accepted(ops);
		else if (sock->kind == ENO_SOCK_STEERED)
			steered_established(ops, sock);
		break;
	case BPF_SOCK_OPS_PARSE_HDR_OPT_CB:
		/* 8547-4.6-1: ENO in every segment until a non-SYN one has come. */
		if (!(ops->skb_tcp_flags & TCPHDR_SYN))
			flags_set(ops, 0, FLAGS_ENO);
		break;
	default:
		break;
	}
	return 1;
}

char sockops_license[] SEC("license") = "Dual BSD/GPL";
