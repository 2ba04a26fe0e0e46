// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup getsockopt. Reads the options of <tcpcrypt/tcp_eno.h>: what the program wrote
 * to its socket, and what the daemon says of the socket's flow.
 */
#include "bpf/sockopt.h"
#include "bpf/eno_options.h"
#include "bpf/secret.h"

static __always_inline int give_int(struct bpf_sockopt *ctx, int value)
{
	int *out = ctx->optval;

	if ((void *)(out + 1) > ctx->optval_end)
		return -EINVAL;
	*out = value;
	optlen_set(ctx, sizeof(*out));
	return 0;
}

/* A buffer that is too small gets an error: part of a session ID is none. So does an empty
 * value, because the kernel takes the length 0 for "leave the caller's buffer alone". */
static __always_inline int give_bytes(struct bpf_sockopt *ctx, const __u8 *from, __u32 len,
				      __u32 max)
{
	__u8 *out = ctx->optval;
	__u8 *end = ctx->optval_end;

	if (!len)
		return -ENODATA;
	if (optlen_get(ctx) < (int)len)
		return -EINVAL;
	for (__u32 i = 0; i < max; i++) {
		if (i >= len)
			break;
		if (out + i + 1 > end)
			return -EINVAL;
		out[i] = from[i];
	}
	optlen_set(ctx, len);
	return 0;
}

static __always_inline int give_name(struct bpf_sockopt *ctx, const struct shared_session *session,
				     __u8 flip)
{
	__u8 *out = ctx->optval;

	if (out + TCP_ENO_NAME_LEN > (__u8 *)ctx->optval_end)
		return -EINVAL;
	__builtin_memcpy(out, session->name, TCP_ENO_NAME_LEN);
	out[0] ^= flip;
	optlen_set(ctx, TCP_ENO_NAME_LEN);
	return 0;
}

static __always_inline int session_read(struct bpf_sockopt *ctx)
{
	struct shared_session *session;
	int error = is_raw(ctx) ? -EINVAL : session_find(ctx, &session);

	if (error)
		return error;
	switch (ctx->optname) {
	case TCP_ENO_SESSID: /* 8547-5.1-2 */
		return give_bytes(ctx, session->name + 1, TCP_ENO_SESSID_LEN, TCP_ENO_SESSID_LEN);
	case TCP_ENO_NEGTEP:
		return give_int(ctx, session->tep_byte);
	case TCP_ENO_PEER_GOPT: /* 8547-4.2-5 */
		return give_int(ctx, session->peer_gopt);
	case TCP_ENO_ROLE:
		return give_int(ctx, session->name[0]);
	case TCP_ENO_SELF_NAME:
		return give_name(ctx, session, 0);
	case TCP_ENO_PEER_NAME:
		return give_name(ctx, session, 1);
	case TCP_CRYPT_CONF:
		return give_bytes(ctx, session->aead, sizeof(session->aead), sizeof(session->aead));
	case TCP_CRYPT_RESUMED:
		return give_int(ctx, session->resumed);
	default:
		return -ENOPROTOOPT;
	}
}

static __always_inline int raw_transcript(struct bpf_sockopt *ctx)
{
	struct eno_sock *sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0);
	const __u8 *first, *second;
	__u8 both[128] = {};
	__u32 at;

	if (!sock || ctx->sk->state == BPF_TCP_LISTEN || sock->state == ENO_SOCK_PENDING)
		return -ENOTCONN;
	if (sock->state != ENO_SOCK_ENABLED)
		return -EINVAL;
	/* Host A's option comes first (RFC 8547 section 4.8). */
	first = sock->raw_role ? sock->peer : sock->own;
	second = sock->raw_role ? sock->own : sock->peer;
	at = sock->raw_role ? sock->peer_len : sock->own_len;
	/* Whole, and the second over the first one's empty end: for the verifier's sake no
	 * loop depends on a length. */
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i++)
		both[i] = first[i];
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i++)
		both[(at + i) & 127] = second[i];
	return give_bytes(ctx, both, sock->own_len + sock->peer_len, TCP_ENO_TRANSCRIPT_MAX);
}

static __always_inline int transcript_read(struct bpf_sockopt *ctx)
{
	struct shared_session *session;
	int error;

	if (is_raw(ctx))
		return raw_transcript(ctx);
	error = session_find(ctx, &session);
	if (error)
		return error;
	return give_bytes(ctx, session->transcript, session->transcript_len,
			  TCP_ENO_TRANSCRIPT_MAX);
}

static __always_inline int raw_state(struct bpf_sockopt *ctx)
{
	struct eno_sock *sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0);
	__u32 reason;

	if (!sock || ctx->sk->state == BPF_TCP_LISTEN ||
	    (sock->state == ENO_SOCK_PENDING && ctx->sk->state == BPF_TCP_CLOSE))
		return TCP_ENO_UNCONNECTED;
	if (sock->state != ENO_SOCK_DISABLED)
		return sock->state == ENO_SOCK_PENDING ? TCP_ENO_NEGOTIATING : TCP_ENO_ENCRYPTING;
	reason = sock->reason;
	if (!reason)
		reason = sock->peer_len ? TCP_ENO_REASON_NO_COMMON_TEP : TCP_ENO_REASON_NO_OPTION;
	else
		reason += TCP_ENO_REASON_NO_ACK - ENO_SOCK_NO_ACK;
	return TCP_ENO_DISABLED | reason << 8;
}

static __always_inline int state_read(struct bpf_sockopt *ctx)
{
	struct shared_wishes *w = bpf_sk_storage_get(&wishes, ctx->sk, NULL, 0);
	__u32 reason = TCP_ENO_REASON_LEFT_ALONE, state = ctx->sk->state;
	struct shared_session *session;
	int error;

	if ((w && w->raw.len) || inproc_find(ctx))
		return give_int(ctx, raw_state(ctx));
	error = session_find(ctx, &session);
	if (!error)
		return give_int(ctx, TCP_ENO_ENCRYPTING);
	if (error == -ENOTCONN)
		return give_int(ctx, state == BPF_TCP_LISTEN || state == BPF_TCP_CLOSE
					     ? TCP_ENO_UNCONNECTED
					     : TCP_ENO_NEGOTIATING);
	if (session)
		reason = session->reason;
	else if (w && wishes_off(w))
		reason = TCP_ENO_REASON_SWITCHED_OFF;
	return give_int(ctx, TCP_ENO_DISABLED | reason << 8);
}

static __always_inline int list_read(struct bpf_sockopt *ctx, const struct shared_bytes *written,
				     const struct shared_bytes *standard)
{
	const struct shared_bytes *b = written && written->set ? written : standard;

	return give_bytes(ctx, b->bytes, b->len, TCP_ENO_RAW_MAX);
}

/* A connection that was accepted is host B's, whatever was asked. */
static __always_inline int self_gopt(struct bpf_sockopt *ctx, const struct shared_wishes *w)
{
	struct app_sock *app = bpf_sk_storage_get(&app_socks, ctx->sk, NULL, 0);
	struct eno_sock *sock = inproc_find(ctx);
	int gopt = w ? w->self_gopt : 0;

	if ((app && app->passive) || (sock && sock->raw_role))
		gopt |= TCP_ENO_GOPT_B;
	return gopt;
}

/* A process of this user has a connection that was accepted at this end. */
static __noinline int accepting_note(const struct shared_endpoint *end, __u32 uid)
{
	struct shared_accepting a = { .uid = uid }, *before;

	if (!end)
		return 0;
	before = bpf_map_lookup_elem(&accepting, end);
	if (before && before->uid == uid)
		return 0;
	/* Processes of two users: neither gets what the other's would have. */
	if (before)
		a.since = bpf_ktime_get_ns() + SHARED_ACCEPTING_NS;
	bpf_map_update_elem(&accepting, end, &a, BPF_ANY);
	return 0;
}

/* The secret with which both ends have agreed to resume: to a process of its user, and once. */
static __noinline int secret_read(struct eno_sock *sock, struct shared_secret *to, __u32 uid)
{
	struct shared_secret *s;

	if (!sock || !to || !sock->resumes)
		return SHARED_INPROC_FRESH;
	s = secret_get(sock->resumed_slot, sock->resumed_token);
	if (!sock->resumed_token || !s || (uid && s->uid != uid))
		return SHARED_INPROC_WITHHELD;
	*to = *s;
	sock->chain = s->chain;
	secret_wipe(s);
	sock->resumed_token = 0;
	return SHARED_INPROC_RESUMED;
}

/* Nothing was negotiated; a library that knows may be told that the same will come of the next
 * connection to this destination. */
static __noinline int left_alone(struct bpf_sock *sk, const struct shared_wishes *w)
{
	const struct shared_plain *plain;
	struct shared_tuple ends;

	if (!sk || !w || !w->inproc)
		return -ESTALE;
	if (w->inproc < SHARED_INPROC_REMEMBERS)
		return -ENOENT;
	ends_read(sk, &ends);
	plain = bpf_map_lookup_elem(&plain_destinations, &ends.remote);
	return plain && plain->until > bpf_ktime_get_ns() ? -ENODATA : -ENOENT;
}

static __always_inline int inproc_read(struct bpf_sockopt *ctx)
{
	struct eno_sock *sock = bpf_sk_storage_get(&eno_socks, ctx->sk, NULL, 0);
	struct shared_wishes *w = bpf_sk_storage_get(&wishes, ctx->sk, NULL, 0);
	struct shared_inproc *out = ctx->optval;
	__u32 uid = bpf_get_current_uid_gid();
	struct shared_secret secret = {};
	struct shared_tuple ends;

	if (sock && sock->kind != ENO_SOCK_INPROC)
		return -ENOENT;
	if (!sock)
		return left_alone(ctx->sk, w);
	if ((void *)(out + 1) > ctx->optval_end)
		return -EINVAL;
	out->state = sock->state;
	out->reason = sock->reason;
	out->passive = sock->raw_role;
	out->mandatory_app_aware = sock->mandatory_app_aware;
	out->own_len = sock->own_len;
	out->peer_len = sock->peer_len;
	out->required = sock->required;
	out->offered = !!sock->peer_half.tep;
	out->no_cache = !w || w->cache_flush || w->inproc < SHARED_INPROC_RESUMES;
	out->orderly = sock->orderly;
	__builtin_memset(out->pad, 0, sizeof(out->pad));
	ends_read(ctx->sk, &ends);
	out->ends = ends;
	if (sock->raw_role && !out->no_cache)
		accepting_note(&ends.local, uid);
	out->resumed = SHARED_INPROC_FRESH;
	if (sock->state == ENO_SOCK_ENABLED)
		out->resumed = secret_read(sock, &secret, uid);
	out->secret = secret;
	__builtin_memcpy(out->own, sock->own, sizeof(out->own));
	__builtin_memcpy(out->peer, sock->peer, sizeof(out->peer));
	optlen_set(ctx, sizeof(*out));
	return 0;
}

static __always_inline int option_read(struct bpf_sockopt *ctx, const struct shared_settings *s)
{
	struct shared_wishes *w = bpf_sk_storage_get(&wishes, ctx->sk, NULL, 0);

	switch (ctx->optname) {
	case TCP_ENO_ENABLED:
		return give_int(ctx, w ? w->enabled : -1);
	case TCP_ENO_TEPS:
		return list_read(ctx, w ? &w->teps : NULL, &s->default_teps);
	case TCP_ENO_SELF_GOPT:
		return give_int(ctx, self_gopt(ctx, w));
	case TCP_ENO_AA_MANDATORY:
		return give_int(ctx, w ? w->aa_mandatory : 0);
	case TCP_ENO_TEP_MANDATORY:
		return give_int(ctx, w ? w->tep_mandatory : 0);
	case TCP_ENO_RAW:
		return w ? give_bytes(ctx, w->raw.bytes, w->raw.len, TCP_ENO_RAW_MAX) : -ENODATA;
	case TCP_ENO_TRANSCRIPT:
		return transcript_read(ctx);
	case TCP_ENO_STATE:
		return state_read(ctx);
	case TCP_CRYPT_ACONF:
		return list_read(ctx, w ? &w->aconf : NULL, &s->default_aconf);
	case TCP_CRYPT_BCONF:
		return list_read(ctx, w ? &w->bconf : NULL, &s->default_bconf);
	case TCP_CRYPT_INPROC:
		return inproc_read(ctx);
	case TCP_CRYPT_NONCE_LEN:
		return give_int(ctx, w ? w->nonce_len : SHARED_NONCE_LEN_DEFAULT);
	default:
		return session_read(ctx);
	}
}

SEC("cgroup/getsockopt")
int tcpcrypt_getsockopt(struct bpf_sockopt *ctx)
{
	struct shared_settings *s = settings_for(ctx);
	int error;

	if (!s) {
		pass_long(ctx);
		return 1;
	}
	error = option_read(ctx, s);
	if (error)
		bpf_set_retval(error);
	else
		ctx->retval = 0;
	return 1;
}

char getsockopt_license[] SEC("license") = "Dual BSD/GPL";
