// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup setsockopt. Writes the options of <tcpcrypt/tcp_eno.h>: keeps them with the
 * socket ("wishes") for the other programs and the daemon to honour, and tells the daemon at
 * once what cannot wait. Notes the kernel's own options that act on the wire (late.h).
 */
#include "bpf/flushing.h"
#include "bpf/late.h"
#include "bpf/sockopt.h"
#include "bpf/eno_options.h"

#define TEP_FIRST 0x21 /* RFC 8548 table 4, all implemented */
#define TEP_LAST  0x24

static __always_inline int take_int(struct bpf_sockopt *ctx, int min, int max, int *ret)
{
	int *in = ctx->optval;

	if (optlen_get(ctx) < (int)sizeof(*in) || (void *)(in + 1) > ctx->optval_end)
		return -EINVAL;
	*ret = *in;
	return *ret < min || *ret > max ? -EINVAL : 0;
}

static __noinline int take_bytes(struct bpf_sockopt *ctx, struct shared_bytes *ret)
{
	__u8 *in = ctx->optval;
	__u8 *end = ctx->optval_end;
	int len = optlen_get(ctx);

	if (!ret || len < 0 || len > TCP_ENO_RAW_MAX)
		return -EINVAL;
	ret->set = 1;
	ret->len = len;
	for (int i = 0; i < TCP_ENO_RAW_MAX; i++) {
		if (i >= len)
			break;
		if (in + i + 1 > end)
			return -EINVAL;
		ret->bytes[i] = in[i];
	}
	return 0;
}

/* RFC 8548 TEPs, each at most once; v does not count. */
static __always_inline int teps_check(const struct shared_bytes *b)
{
	__u32 seen = 0;

	if (b->len > SHARED_TEPS_MAX)
		return -EINVAL;
	for (int i = 0; i < SHARED_TEPS_MAX; i++) {
		__u8 tep = b->bytes[i] & ENO_GLT;

		if (i >= b->len)
			break;
		if (tep < TEP_FIRST || tep > TEP_LAST || seen & 1 << (tep - TEP_FIRST))
			return -EINVAL;
		seen |= 1 << (tep - TEP_FIRST);
	}
	return 0;
}

/* AEADs of RFC 8548 table 5, each at most once, and at least one. */
static __always_inline int aeads_check(const struct shared_bytes *b)
{
	__u32 seen = 0;

	if (!b->len || b->len & 1 || b->len > 6)
		return -EINVAL;
	for (int i = 0; i < 6; i += 2) {
		__u8 aead = b->bytes[i + 1];

		if (i >= b->len)
			break;
		if (b->bytes[i] || (aead != 0x01 && aead != 0x02 && aead != 0x10) || seen & aead)
			return -EINVAL;
		seen |= aead;
	}
	return 0;
}

struct raw_check {
	const struct shared_bytes *b;
	struct eno_scan scan;
	__u32 bad;
};

static long raw_check_step(__u32 i, void *ctx)
{
	struct raw_check *c = ctx;

	if (i >= c->b->len || i >= TCP_ENO_RAW_MAX)
		return 1;
	c->bad = eno_scan_byte(&c->scan, c->b->bytes[i], c->b->len - 1 - i) == ENO_SCAN_BAD;
	return c->bad;
}

static __always_inline int raw_check(const struct shared_bytes *b)
{
	struct raw_check c = { .b = b };

	c.scan.expect = c.scan.data_left = c.bad = loop_zero();
	bpf_loop(TCP_ENO_RAW_MAX, raw_check_step, &c, 0);
	return c.bad ? -EINVAL : 0;
}

static __always_inline int list_check(int optname, const struct shared_bytes *b)
{
	switch (optname) {
	case TCP_ENO_TEPS:
		return teps_check(b);
	case TCP_ENO_RAW:
		return raw_check(b);
	default:
		return aeads_check(b);
	}
}

/* The socket's wishes, to write to. From now on the other programs look for them. */
static __always_inline struct shared_wishes *wishes_make(struct bpf_sockopt *ctx,
							 struct shared_settings *s)
{
	struct shared_wishes none = { .enabled = -1, .nonce_len = SHARED_NONCE_LEN_DEFAULT };

	s->wishes = 1;
	return bpf_sk_storage_get(&wishes, ctx->sk, &none, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline int list_write(struct bpf_sockopt *ctx, struct shared_settings *s)
{
	struct shared_bytes value = {};
	struct shared_wishes *w;
	int error = take_bytes(ctx, &value);

	if (!error)
		error = list_check(ctx->optname, &value);
	if (error)
		return error;
	w = wishes_make(ctx, s);
	if (!w)
		return -ENOMEM;
	if (ctx->optname == TCP_ENO_TEPS)
		w->teps = value;
	else if (ctx->optname == TCP_ENO_RAW)
		w->raw = value;
	else if (ctx->optname == TCP_CRYPT_ACONF)
		w->aconf = value;
	else
		w->bconf = value;
	return 0;
}

static __always_inline void range(int optname, int *ret_min, int *ret_max)
{
	*ret_min = 0;
	*ret_max = 1;
	if (optname == TCP_ENO_ENABLED)
		*ret_min = -1;
	else if (optname == TCP_ENO_SELF_GOPT)
		*ret_max = 31;
	else if (optname == TCP_CRYPT_NONCE_LEN)
		*ret_max = 8;
	else if (optname == TCP_CRYPT_CACHE_FLUSH || optname == TCP_CRYPT_REKEY)
		*ret_min = 1;
}

static __always_inline int int_write(struct bpf_sockopt *ctx, struct shared_settings *s, int value)
{
	struct shared_wishes *w = wishes_make(ctx, s);

	if (!w)
		return -ENOMEM;
	switch (ctx->optname) {
	case TCP_ENO_ENABLED:
		w->enabled = value;
		return 0;
	case TCP_ENO_SELF_GOPT: /* 8547-4.2-4, 8547-4.2-5 */
		w->self_gopt = value;
		return 0;
	case TCP_ENO_AA_MANDATORY: /* 8547-4.2-6 */
		w->aa_mandatory = value;
		return 0;
	case TCP_ENO_TEP_MANDATORY:
		w->tep_mandatory = value;
		return 0;
	case TCP_CRYPT_CACHE_FLUSH:
		w->cache_flush = value;
		return 0;
	default:
		w->nonce_len = value;
		return 0;
	}
}

static __always_inline int tell(struct bpf_sockopt *ctx, enum shared_event_type type, int value)
{
	struct app_sock *app = bpf_sk_storage_get(&app_socks, ctx->sk, NULL, 0);
	struct shared_event *e;

	if (!app)
		return -EINVAL;
	e = event_reserve(app->slot);
	if (!e)
		return -ENOBUFS;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = type;
	e->value = value;
	e->cookie = app->cookie;
	e->app.flow = app->flow;
	if (type == SHARED_EVENT_CACHE_FLUSH)
		flush_count(app->slot);
	event_submit(e, app->slot);
	return 0;
}

/* TCP_ENO_TEP_MANDATORY on a connection that has begun: the daemon ends it if it is, or
 * turns out, plain. One that the daemon does not carry cannot be ended from here. */
static __always_inline int mandatory_late(struct bpf_sockopt *ctx, struct shared_settings *s,
					  int value)
{
	struct shared_session *session;
	struct eno_sock *sock = inproc_find(ctx);
	int error = is_raw(ctx) ? 0 : session_find(ctx, &session);

	/* The library ends what has become plain. */
	if (sock && (sock->state != ENO_SOCK_DISABLED || !value)) {
		sock->required = value;
		return int_write(ctx, s, value);
	}
	if (error == -ENOTCONN || (error && value))
		error = tell(ctx, SHARED_EVENT_MANDATORY, value);
	else
		error = 0;
	return error ? error : int_write(ctx, s, value);
}

/* Which session that is only the daemon knows: the one that these ends began, or whose secret they
 * had from here. */
static __always_inline int flush_inproc(struct bpf_sockopt *ctx, struct shared_settings *s,
					const struct eno_sock *sock)
{
	__u32 slot = settings_serving(s).first_slot;
	struct shared_tuple ends;
	struct shared_event *e;

	if (sock->state != ENO_SOCK_ENABLED)
		return sock->state == ENO_SOCK_PENDING ? -ENOTCONN : -EINVAL;
	e = event_reserve(slot);
	if (!e)
		return -ENOBUFS;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_FORGET;
	ends_read(ctx->sk, &ends);
	e->ends = ends;
	e->chain = sock->chain;
	flush_count(slot);
	event_submit(e, slot);
	return 0;
}

/* 8548-3.5-26, 8548-3.5-28: on a connection, which began or resumed a session. */
static __always_inline int flush_write(struct bpf_sockopt *ctx, struct shared_settings *s,
				       int value)
{
	struct eno_sock *sock = inproc_find(ctx);
	struct shared_session *session;
	int error;

	if (sock)
		return flush_inproc(ctx, s, sock);
	error = is_raw(ctx) ? -EINVAL : session_find(ctx, &session);
	return error ? error : tell(ctx, SHARED_EVENT_CACHE_FLUSH, value);
}

static __always_inline int int_option_write(struct bpf_sockopt *ctx, struct shared_settings *s,
					    int early)
{
	struct shared_session *session;
	int min, max, value, error;

	range(ctx->optname, &min, &max);
	error = take_int(ctx, min, max, &value);
	if (error)
		return error;
	if (ctx->optname == TCP_ENO_TEP_MANDATORY && !early)
		return mandatory_late(ctx, s, value);
	if (ctx->optname == TCP_CRYPT_REKEY) {
		error = is_raw(ctx) ? -EINVAL : session_find(ctx, &session);
		return error ? error : tell(ctx, SHARED_EVENT_REKEY, value);
	}
	/* Before the SYN it is a wish. */
	if (ctx->optname == TCP_CRYPT_CACHE_FLUSH && !early)
		return flush_write(ctx, s, value);
	return early ? int_write(ctx, s, value) : -EISCONN;
}

/* The guard comes with the first program that asks: others' packets need not pass it. */
static __always_inline int guard_ask(const struct shared_settings *s)
{
	struct shared_event *e = event_reserve(settings_serving(s).first_slot);

	if (!e)
		return -EAGAIN;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_GUARD;
	event_submit(e, settings_serving(s).first_slot);
	return -EAGAIN;
}

/* An engine before this one has marked it, and the kernel keeps the callbacks (inproc_listen()): only what
 * is kept for the socket is gone. */
static __noinline int inproc_listener_write(struct bpf_sockopt *ctx, struct shared_settings *s)
{
	struct shared_wishes *w;
	struct eno_sock *sock;

	if (!ctx->sk || !s)
		return -EINVAL;
	sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0);
	if (sock)
		return sock->kind == ENO_SOCK_INPROC ? 0 : -EISCONN;
	w = wishes_make(ctx, s);
	if (!w)
		return -ENOMEM;
	if (w->raw.len)
		return -EISCONN;
	w->inproc = SHARED_INPROC_RESUMES;
	if (wishes_off(w) || (settings_port_left_alone(s, ctx->sk->src_port) && !wishes_on(w)))
		return 0;
	sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!sock)
		return -ENOMEM;
	__builtin_memset(sock, 0, sizeof(*sock));
	sock->kind = ENO_SOCK_INPROC;
	return 0;
}

static __always_inline int inproc_write(struct bpf_sockopt *ctx, struct shared_settings *s)
{
	struct shared_wishes *w;
	int value, error;

	error = take_int(ctx, SHARED_INPROC_OFF, SHARED_INPROC_AGAIN, &value);
	if (error)
		return error;
	if (ctx->sk->state != (value == SHARED_INPROC_AGAIN ? BPF_TCP_LISTEN : BPF_TCP_CLOSE))
		return -EISCONN;
	if (value && !s->guarded)
		return guard_ask(s);
	if (value == SHARED_INPROC_AGAIN)
		return inproc_listener_write(ctx, s);
	w = wishes_make(ctx, s);
	if (!w)
		return -ENOMEM;
	w->inproc = value;
	return 0;
}

static __always_inline int option_write(struct bpf_sockopt *ctx, struct shared_settings *s)
{
	__u32 state = ctx->sk->state;
	int early = state == BPF_TCP_CLOSE || state == BPF_TCP_LISTEN;

	switch (ctx->optname) {
	case TCP_ENO_RAW:
		/* listen() has already seen what it says. */
		early = state == BPF_TCP_CLOSE;
		__attribute__((fallthrough));
	case TCP_ENO_TEPS:
	case TCP_CRYPT_ACONF: /* 8548-3.3-6 */
	case TCP_CRYPT_BCONF:
		return early ? list_write(ctx, s) : -EISCONN;
	case TCP_CRYPT_INPROC:
		return inproc_write(ctx, s);
	case TCP_ENO_ENABLED:
	case TCP_ENO_SELF_GOPT:
	case TCP_ENO_AA_MANDATORY:
	case TCP_ENO_TEP_MANDATORY:
	case TCP_CRYPT_CACHE_FLUSH:
	case TCP_CRYPT_REKEY:
	case TCP_CRYPT_NONCE_LEN:
		return int_option_write(ctx, s, early);
	default:
		return -ENOPROTOOPT;
	}
}

/* Of the daemon's own: what the socket is to offer. */
static __noinline int opening_mark(struct bpf_sockopt *ctx)
{
	struct shared_inline *value = ctx->optval;
	struct shared_opening *o;
	__u64 offered, marked;
	__u32 place;

	if (!ctx->sk || ctx->optlen != sizeof(*value) || (void *)(value + 1) > ctx->optval_end)
		return 0;
	place = value->place;
	o = bpf_map_lookup_elem(&openings, &place);
	if (!o || o->token != value->token)
		return 0;
	offered = shared_opening_stage(o->sock.flow, SHARED_OPENING_OFFERED);
	marked = shared_opening_stage(o->sock.flow, SHARED_OPENING_MARKED);
	if (*(volatile __u64 *)&o->stage != offered ||
	    !bpf_sk_storage_get(&eno_socks, ctx->sk, &o->sock, BPF_SK_STORAGE_GET_F_CREATE))
		return 0;
	__sync_val_compare_and_swap(&o->stage, offered, marked);
	return 0;
}

SEC("cgroup/setsockopt")
int tcpcrypt_setsockopt(struct bpf_sockopt *ctx)
{
	struct shared_settings *s = settings_for(ctx);
	int error, option;

	if (!s && ctx->level == SOL_SOCKET && ctx->optname == SO_OOBINLINE)
		opening_mark(ctx);
	if (!s && leads_away(ctx->level, ctx->optname) && option_ignored(ctx)) {
		optlen_set(ctx, -1);
		return 1;
	}
	if (!s) {
		option = option_of(ctx->level, ctx->optname);
		if (option >= 0)
			option_late(ctx, option);
		pass_long(ctx);
		return 1;
	}
	error = option_write(ctx, s);
	if (error) {
		bpf_set_retval(error);
		return 0;
	}
	/* Done: the kernel need not know of it. */
	optlen_set(ctx, -1);
	return 1;
}

char setsockopt_license[] SEC("license") = "Dual BSD/GPL";
