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
#define TCP_SEQ_AT     4 /* in the header */
#define SOL_TCP	       6
#define TCP_SAVE_SYN   27

/* An option area with the answer that goes with it: too large for callbacks' stacks twice. */
struct eno_answer {
	__u8 bytes[SHARED_OPTION_MAX];
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

/* Decision D15: has the SYN with this header come again without ENO since? */
static __always_inline int is_withdrawn(struct bpf_sock_ops *ops, const __u8 *header)
{
	struct shared_tuple key;
	const __be32 *again;
	__be32 seq;

	tuple_set(&key, ops);
	__builtin_memcpy(&seq, header + TCP_SEQ_AT, sizeof(seq));
	again = bpf_map_lookup_elem(&withdrawn, &key);
	return again && *again == seq;
}

enum syn_state {
	SYN_UNKNOWN, /* there is none: the handshake was made by SYN cookie */
	SYN_READ,
	SYN_WITHDRAWN,
};

/* The options of the SYN that opened the connection: the segment at hand, or the saved one. */
static __noinline int area_from_syn(struct bpf_sock_ops *ops, struct eno_area *a)
{
	__u8 header[TCP_HEADER_LEN + SHARED_OPTION_MAX] = {};
	long len;

	if (!a)
		return SYN_UNKNOWN;
	len = bpf_getsockopt(ops, SOL_TCP, TCP_BPF_SYN, header, sizeof(header));
	if (len < TCP_HEADER_LEN || len > (long)sizeof(header))
		return SYN_UNKNOWN;
	a->len = len - TCP_HEADER_LEN;
	__builtin_memcpy(a->bytes, header + TCP_HEADER_LEN, SHARED_OPTION_MAX);
	eno_area_walk(a);
	return is_withdrawn(ops, header) ? SYN_WITHDRAWN : SYN_READ;
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

static __always_inline void wished_teps(const struct shared_wishes *w, __u8 teps[SHARED_TEPS_MAX])
{
	for (int i = 0; i < SHARED_TEPS_MAX; i++)
		teps[i] = i < w->teps.len ? w->teps.bytes[i] & ENO_GLT : 0;
}

/* The SYN-form option with which a SYN with these options is answered, as the settings and
 * the server's wishes (NULL: none) have it; len 0: none. */
static __noinline int answer_make(struct eno_area *a, struct shared_wishes *w,
				  struct eno_answer *answer)
{
	struct shared_settings *s = settings_get();
	__u8 teps[SHARED_TEPS_MAX], own, mandatory;
	struct eno_match m = {};
	__u8 tep;

	if (!s || !a || !answer)
		return 0;
	answer->len = 0;
	own = s->global;
	mandatory = s->mandatory_app_aware;
	__builtin_memcpy(teps, s->teps, sizeof(teps));
	if (w) {
		own = w->self_gopt;
		mandatory = w->aa_mandatory;
		if (w->teps.set)
			wished_teps(w, teps);
		/* A plain connection was steered here to be refused. */
		if (!w->enabled)
			return 0;
	}
	if (!eno_match_read(&m, a, teps))
		return 0;
	/* 8547-4.2-6: mandatory application-aware mode. */
	if (mandatory && !(m.global & ENO_GLOBAL_A))
		return 0;
	tep = eno_match_answer(&m);
	if (!tep)
		return 0;
	/* 8547-4.2-3, 8547-4.2-8: an explicit global suboption with b = 1. */
	answer->bytes[0] = ENO_KIND;
	answer->bytes[1] = 4;
	answer->bytes[2] = ENO_GLOBAL_B | (mandatory ? ENO_GLOBAL_A : own & ENO_GLOBAL_A);
	answer->bytes[3] = tep;
	answer->len = 4;
	return 1;
}

/* The answer of a server that brings its own TEP: what it says, with b = 1. */
static __always_inline int answer_raw(const struct eno_area *a, const struct shared_wishes *w,
				      struct eno_answer *answer)
{
	__u32 len = w->raw.len;

	if (a->eno_count != 1)
		return 0;
	answer->bytes[0] = ENO_KIND;
	if (w->raw.bytes[0] < ENO_TEP_FIRST) {
		__builtin_memcpy(answer->bytes + 2, w->raw.bytes, TCP_ENO_RAW_MAX);
		answer->bytes[2] |= ENO_GLOBAL_B;
	} else {
		answer->bytes[2] = ENO_GLOBAL_B;
		__builtin_memcpy(answer->bytes + 3, w->raw.bytes, TCP_ENO_RAW_MAX - 1);
		len++;
	}
	if (len > TCP_ENO_RAW_MAX)
		return 0;
	answer->bytes[1] = len + 2;
	answer->len = len + 2;
	return 1;
}

static __always_inline struct shared_wishes *wished_find(struct bpf_sock_ops *ops)
{
	struct shared_settings *s = settings_get();
	struct shared_tuple key;

	if (!s || !s->wishes)
		return NULL;
	tuple_set(&key, ops);
	return bpf_map_lookup_elem(&wished, &key);
}

static __always_inline void wished_forget(struct bpf_sock_ops *ops)
{
	struct shared_tuple key;

	tuple_set(&key, ops);
	bpf_map_delete_elem(&wished, &key);
}

/* SYN-ACK of the steered listener, or of a server with its own TEP, first sending or
 * retransmission: the saved SYN makes both the same (8547-4.6-4), unless ENO was withdrawn
 * meanwhile (8547-4.6-3, decision D15). */
static __noinline int answer_for_synack(struct bpf_sock_ops *ops, struct eno_answer *answer)
{
	struct eno_area area = {};
	struct shared_wishes *w;

	if (!answer || area_from_syn(ops, &area) != SYN_READ)
		return 0;
	w = wished_find(ops);
	return w && w->raw.len ? answer_raw(&area, w, answer) : answer_make(&area, w, answer);
}

/* The rest are subprograms because each frame of the stack counts, and together they have
 * 512 bytes. */

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

static __noinline int reserve(struct bpf_sock_ops *ops)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u8 syn = ops->skb_tcp_flags & TCPHDR_SYN;
	struct eno_answer answer = {};
	__u32 len;

	if (!ops->is_fullsock) {
		/* A cookie keeps no SYN to negotiate from when the ACK comes. */
		if (ops->args[0] != BPF_WRITE_HDR_TCP_SYNACK_COOKIE &&
		    answer_for_synack(ops, &answer))
			bpf_reserve_hdr_opt(ops, answer.len, 0);
		return 0;
	}
	if (!sock)
		return 0;
	/* The SYN-ACK of a simultaneous open repeats what the SYN had (8547-4.6-4). */
	if (syn && !(ops->skb_tcp_flags & TCPHDR_ACK) && sock->state == ENO_SOCK_PENDING &&
	    ++sock->syns > SHARED_SYNS_WITH_ENO) {
		sock->state = ENO_SOCK_DISABLED;
		sock->reason = ENO_SOCK_SYN_RETRIES;
	}
	len = option_len(sock, ops->skb_tcp_flags);
	if (len && bpf_reserve_hdr_opt(ops, len, 0) && syn) {
		/* Other options left no room: the connection is made without. */
		sock->state = ENO_SOCK_DISABLED;
		sock->own_len = 0;
	}
	return 0;
}

static __noinline int store(struct bpf_sock_ops *ops)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u8 option[SHARED_OPTION_MAX] = { ENO_KIND, 2 };
	struct eno_answer answer = {};
	__u32 len;

	if (!ops->is_fullsock) {
		if (ops->args[0] == BPF_WRITE_HDR_TCP_SYNACK_COOKIE ||
		    !answer_for_synack(ops, &answer))
			return 0;
		len = answer.len;
		if (len >= 2 && len <= sizeof(answer.bytes))
			bpf_store_hdr_opt(ops, answer.bytes, len, 0);
		return 0;
	}
	len = sock ? option_len(sock, ops->skb_tcp_flags) : 0;
	if (len < 2 || len > sizeof(option))
		return 0;
	if (ops->skb_tcp_flags & TCPHDR_SYN)
		__builtin_memcpy(option, sock->own, sizeof(option));
	bpf_store_hdr_opt(ops, option, len, 0);
	return 0;
}

/* The global suboption comes first in the options that this host makes. */
static __always_inline __u8 own_global(const struct eno_sock *sock)
{
	return sock->own_len > 2 && sock->own[2] < ENO_TEP_FIRST ? sock->own[2] : 0;
}

/* The other end's SYN-form option: from its SYN-ACK; or, when the segment at hand is the ACK
 * that ends a simultaneous open, from its SYN as steer.bpf.c saw it. */
static __noinline int area_from_peer(struct bpf_sock_ops *ops, struct eno_area *a)
{
	struct eno_sock *sock = eno_sock_get(ops);
	__u32 len;

	if (!sock || !a || !area_from_segment(ops, a))
		return 0;
	if (ops->skb_tcp_flags & TCPHDR_SYN)
		return 1;
	len = a->eno_count ? sock->peer_len : 0;
	__builtin_memset(a, 0, sizeof(*a));
	__builtin_memcpy(a->bytes, sock->peer, sizeof(sock->peer));
	a->len = len;
	eno_area_walk(a);
	return 1;
}

/* The SYN-ACK has come and the third segment is about to leave. */
static __noinline int upstream_established(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};
	struct eno_match m = {};

	if (sock->state != ENO_SOCK_PENDING)
		goto plain;
	sock->state = ENO_SOCK_DISABLED;
	area_from_peer(ops, &area);
	sock->peer_len = 0;
	option_keep(&area, sock->peer, &sock->peer_len);
	/* 8547-4.3-2: who asked for the passive opener's role does not get it from one. */
	if (own_global(sock) & ENO_GLOBAL_B)
		goto plain;
	if (!eno_match_read(&m, &area, sock->teps) || !eno_match_accept(&m))
		goto plain;
	if (sock->mandatory_app_aware && !(m.global & ENO_GLOBAL_A))
		goto plain;
	sock->state = ENO_SOCK_ENABLED;
	flags_set(ops, FLAGS_ENO, 0);
	return 0;
plain:
	/* 8547-4.6-3: the third segment goes without ENO. */
	flags_set(ops, 0, FLAGS_ENO);
	return 0;
}

/* The ACK of a steered connection has come (decision D20: with or without data). */
static __noinline int steered_established(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};
	struct eno_answer answer = {};
	struct shared_wishes *w = wished_find(ops);
	int seen;

	flags_set(ops, 0, FLAGS_ENO);
	sock->state = ENO_SOCK_DISABLED;
	if (w) {
		sock->wishes = *w;
		wished_forget(ops);
		w = &sock->wishes;
	}
	seen = area_from_syn(ops, &area);
	if (seen != SYN_READ) {
		sock->reason = seen == SYN_UNKNOWN ? ENO_SOCK_SYN_COOKIE : ENO_SOCK_SYN_RETRIES;
		return 0;
	}
	option_keep(&area, sock->peer, &sock->peer_len);
	if (!answer_make(&area, w, &answer))
		return 0;
	__builtin_memcpy(sock->own, answer.bytes, sizeof(answer.bytes));
	sock->own_len = answer.len;
	/* 8547-4.6-3 case 1, 8547-4.6-7. */
	__builtin_memset(&area, 0, sizeof(area));
	if (area_from_segment(ops, &area) && area.eno_count)
		sock->state = ENO_SOCK_ENABLED;
	else
		sock->reason = ENO_SOCK_NO_ACK;
	return 0;
}

/* The server's end of one of the daemon's connections: remember whom it shall see. */
static __noinline int app_accepted(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_flow_end *client;
	struct shared_tuple key;
	struct app_sock *app;

	tuple_set(&key, ops);
	client = bpf_map_lookup_elem(&clients, &key);
	if (!client || !sk)
		return 0;
	app = bpf_sk_storage_get(&app_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (app) {
		app->peer = client->end;
		app->flow = client->flow;
		app->passive = 1;
	}
	bpf_map_delete_elem(&clients, &key);
	return 0;
}

/* The program's connect() completes: from now on getsockname() tells the upstream's end. */
static __noinline int app_connected(struct bpf_sock_ops *ops)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct bpf_sock *sk = ops->sk;
	struct shared_flow_end *local;
	struct app_sock *app;

	if (!sk)
		return 0;
	app = bpf_sk_storage_get(&app_socks, sk, NULL, 0);
	local = app ? bpf_map_lookup_elem(&released, &cookie) : NULL;
	if (!local)
		return 0;
	app->local = local->end;
	app->flow = local->flow;
	flags_set(ops, 0, BPF_SOCK_OPS_STATE_CB_FLAG);
	bpf_map_delete_elem(&released, &cookie);
	return 0;
}

/* A program's connection through the daemon begins: hear of it should the program give up. */
static __noinline int app_connecting(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;

	if (sk && bpf_sk_storage_get(&app_socks, sk, NULL, 0))
		flags_set(ops, BPF_SOCK_OPS_STATE_CB_FLAG, 0);
	return 0;
}

/* Closed before it was connected: nobody wants the upstream connection any more. */
static __noinline int app_gave_up(struct bpf_sock_ops *ops)
{
	struct shared_event *e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	struct shared_tuple ends;

	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	tuple_set(&ends, ops);
	e->type = SHARED_EVENT_GAVE_UP;
	e->cookie = bpf_get_socket_cookie(ops);
	e->app.local = ends.local;
	bpf_ringbuf_submit(e, 0);
	return 0;
}

/* The daemon connects to a local server: the other end of this tuple is the server's. */
static __noinline int to_app_connecting(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct shared_tuple here, there;

	tuple_set(&here, ops);
	there.local = here.remote;
	there.remote = here.local;
	bpf_map_update_elem(&clients, &there, &sock->client, BPF_ANY);
	return 0;
}

/* A program with its own TEP listens: what it accepts inherits the mark. */
static __noinline int raw_listen(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_wishes *w;
	struct eno_sock *sock;
	int save_syn = 1;

	if (!sk)
		return 0;
	/* The socket may have failed to connect before. */
	bpf_sk_storage_delete(&eno_socks, sk);
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	if (!w || !w->raw.len)
		return 0;
	sock = bpf_sk_storage_get(&eno_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return 0;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_RAW;
	bpf_setsockopt(ops, SOL_TCP, TCP_SAVE_SYN, &save_syn, sizeof(save_syn));
	flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
	return 0;
}

/* The TEPs that an option names. */
struct raw_teps {
	struct eno_scan scan;
	const __u8 *option;
	__u32 len;
	__u64 seen[2];
	__u8 global;
	__u8 explicit_global;
	__u8 bad;
};

static long raw_teps_step(__u32 i, void *ctx)
{
	struct raw_teps *t = ctx;
	__u8 byte;

	if (i + 2 >= t->len || i + 2 >= SHARED_OPTION_MAX)
		return 1;
	byte = t->option[i + 2];
	switch (eno_scan_byte(&t->scan, byte, t->len - 3 - i)) {
	case ENO_SCAN_NOTHING:
		break;
	case ENO_SCAN_GLOBAL:
		if (!t->explicit_global)
			t->global = byte;
		t->explicit_global = 1;
		break;
	case ENO_SCAN_TEP:
		t->seen[byte >> 6 & 1] |= 1ULL << (byte & 63);
		break;
	case ENO_SCAN_BAD:
		t->bad = 1;
		return 1;
	}
	return 0;
}

/* Both SYNs carry the same TEP, whatever it is, and the roles differ. */
static __noinline int raw_agrees(struct eno_sock *sock)
{
	struct raw_teps own = {}, peer = {};

	if (!sock)
		return 0;
	own.option = sock->own;
	own.len = sock->own_len;
	peer.option = sock->peer;
	peer.len = sock->peer_len;
	bpf_loop(SHARED_OPTION_MAX, raw_teps_step, &own, 0);
	bpf_loop(SHARED_OPTION_MAX, raw_teps_step, &peer, 0);
	if (own.bad || peer.bad || !((own.global ^ peer.global) & ENO_GLOBAL_B))
		return 0;
	sock->raw_role = own.global & ENO_GLOBAL_B;
	return own.seen[0] & peer.seen[0] || own.seen[1] & peer.seen[1];
}

static __noinline int raw_connected(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct eno_area area = {};

	if (sock->state == ENO_SOCK_PENDING) {
		sock->state = ENO_SOCK_DISABLED;
		area_from_segment(ops, &area);
		option_keep(&area, sock->peer, &sock->peer_len);
		if (raw_agrees(sock))
			sock->state = ENO_SOCK_ENABLED;
	}
	if (sock->state == ENO_SOCK_ENABLED)
		flags_set(ops, FLAGS_ENO, 0);
	else
		flags_set(ops, 0, FLAGS_ENO);
	return 0;
}

static __noinline int raw_accepted(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct shared_wishes *w = wished_find(ops);
	struct eno_answer answer = {};
	struct eno_area area = {};
	int seen;

	flags_set(ops, 0, FLAGS_ENO);
	sock->state = ENO_SOCK_DISABLED;
	seen = area_from_syn(ops, &area);
	if (seen != SYN_READ) {
		sock->reason = seen == SYN_UNKNOWN ? ENO_SOCK_SYN_COOKIE : ENO_SOCK_SYN_RETRIES;
		return 0;
	}
	option_keep(&area, sock->peer, &sock->peer_len);
	if (!w || !answer_raw(&area, w, &answer))
		return 0;
	__builtin_memcpy(sock->own, answer.bytes, sizeof(answer.bytes));
	sock->own_len = answer.len;
	wished_forget(ops);
	if (!raw_agrees(sock))
		return 0;
	__builtin_memset(&area, 0, sizeof(area));
	if (area_from_segment(ops, &area) && area.eno_count)
		sock->state = ENO_SOCK_ENABLED;
	else
		sock->reason = ENO_SOCK_NO_ACK;
	return 0;
}

static __always_inline int carries_own_syn(const struct eno_sock *sock)
{
	return sock && (sock->kind == ENO_SOCK_UPSTREAM || sock->kind == ENO_SOCK_RAW);
}

/* The daemon connects for a program: the program's getsockname() tells what the SYN will. */
static __noinline int upstream_connecting(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct shared_flow_end end = {};
	struct shared_tuple t;

	if (!sock)
		return 0;
	tuple_set(&t, ops);
	end.end = t.local;
	end.flow = sock->flow;
	bpf_map_update_elem(&released, &sock->program, &end, BPF_ANY);
	return 0;
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
		if (carries_own_syn(sock))
			flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
		else if (sock && sock->kind == ENO_SOCK_TO_APP)
			to_app_connecting(ops, sock);
		else if (!sock)
			app_connecting(ops);
		if (sock && sock->kind == ENO_SOCK_UPSTREAM)
			upstream_connecting(ops, sock);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ops->args[0] == BPF_TCP_SYN_SENT && ops->args[1] == BPF_TCP_CLOSE)
			app_gave_up(ops);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		sock = eno_sock_get(ops);
		if (sock && sock->kind == ENO_SOCK_STEERED)
			flags_set(ops, BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG, 0);
		else if (s->wishes && (!sock || sock->kind == ENO_SOCK_RAW))
			raw_listen(ops);
		break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
		sock = eno_sock_get(ops);
		if (sock && sock->kind == ENO_SOCK_UPSTREAM && s->syn_timeout)
			ops->reply = s->syn_timeout;
		break;
	case BPF_SOCK_OPS_HDR_OPT_LEN_CB:
		reserve(ops);
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
		else if (sock->kind == ENO_SOCK_RAW)
			raw_connected(ops, sock);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		sock = eno_sock_get(ops);
		if (!sock)
			app_accepted(ops);
		else if (sock->kind == ENO_SOCK_STEERED)
			steered_established(ops, sock);
		else if (sock->kind == ENO_SOCK_RAW)
			raw_accepted(ops, sock);
		else if (sock->kind == ENO_SOCK_UPSTREAM) /* by simultaneous open */
			upstream_established(ops, sock);
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
