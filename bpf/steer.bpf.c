// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: TC ingress on every interface but lo. Notes SYNs that carry ENO, and for which a
 * local server listens: lookup.bpf.c leads them to the daemon's listener. Passes everything but
 * data in such SYNs, so that plain clients reach the server natively and closed ports answer as
 * ever. Notes what SYNs tell about handshakes that are under way.
 */
#include "bpf/packet_eno.h"
#include "bpf/kind.h"
#include "bpf/resumption.h"
#include "bpf/syn_data.h"
#include "bpf/place.h"
#include "bpf/policy_find.h"
#include "bpf/wished.h"

#define TCP_TIME_WAIT 6

/* The kernel's own, as far as it matters here. */
typedef struct {
	__u32 val;
} kuid_t;

struct sock {
	__u32 sk_ack_backlog;
	__u32 sk_max_ack_backlog;
	kuid_t sk_uid;
} __attribute__((preserve_access_index));

/* With its queue full a server does not answer; nor do we, then, in its name. */
static __always_inline int has_room(struct bpf_sock *listener)
{
	struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(listener);

	return !sk || sk->sk_ack_backlog <= sk->sk_max_ack_backlog;
}

/* Whose socket it is. */
static __always_inline __u32 owner_of(struct bpf_sock *listener)
{
	struct sock *sk = (struct sock *)bpf_skc_to_tcp_sock(listener);

	return sk ? sk->sk_uid.val : SHARED_UID_UNKNOWN;
}

/* Can the daemon stand in for this server? Over loopback it does not reach one that is bound to
 * a device, for one that wants signatures only the kernel can check them, and a SYN-ACK that needs
 * a mark to find its way or a number of hops to be taken is not the daemon's to send. */
static __always_inline int is_servable(struct bpf_sock *listener)
{
	struct bpf_sock *full;

	if (listener->state != TCP_LISTEN || listener->bound_dev_if || is_signed(listener) ||
	    is_near_only(listener) || has_own_hops(listener) || has_own_headers(listener))
		return 0;
	full = bpf_sk_fullsock(listener);
	return full && !full->mark;
}

/*
 * The socket that a SYN finds, or NULL; the caller releases it. A connection that ended lately
 * between the same ends gives way to a new one, so it is the listener that matters: the server's,
 * whatever the sk_lookup programs do with these two ends. They know nobody.
 */
static __noinline struct bpf_sock *socket_for(struct __sk_buff *skb, const struct packet *p)
{
	struct shared_endpoint nobody = {};
	struct bpf_sock *sk;

	if (!p)
		return NULL;
	sk = packet_lookup(skb, &p->src, &p->dst);
	if (sk && sk->state != TCP_TIME_WAIT && sk->state != TCP_LISTEN)
		return sk;
	if (sk)
		bpf_sk_release(sk);
	return packet_lookup(skb, &nobody, &p->dst);
}

/* A simultaneous open: the SYN is the other end's half of the negotiation. */
static __noinline int note_peer_syn(struct eno_sock *sock, const struct eno_area *a)
{
	if (!sock || !a ||
	    (sock->kind != ENO_SOCK_UPSTREAM && sock->kind != ENO_SOCK_RAW &&
	     sock->kind != ENO_SOCK_INPROC) ||
	    sock->state != ENO_SOCK_PENDING)
		return 0;
	sock->peer_len = 0;
	/* 8547-4.6-3, 8547-4.6-6: and what follows goes without ENO. */
	if (a->eno_count != 1 || a->eno_len > SHARED_OPTION_MAX) {
		sock->state = ENO_SOCK_DISABLED;
		return 0;
	}
	for (__u32 i = 0; i < SHARED_OPTION_MAX; i++) {
		if (i >= a->eno_len)
			break;
		sock->peer[i] = a->bytes[(a->eno_at + i) & 63];
	}
	sock->peer_len = a->eno_len;
	return 0;
}

static __noinline int note_withdrawn(struct packet *p)
{
	struct shared_tuple key;
	__be32 seq;

	if (!p)
		return 0;
	key.local = p->dst;
	key.remote = p->src;
	seq = p->tcp.seq;
	bpf_map_update_elem(&withdrawn, &key, &seq, BPF_ANY);
	return 0;
}

/* What a SYN tells about a handshake of these two ends that is under way at sk. */
static __noinline int note_syn(struct __sk_buff *skb, struct bpf_sock *sk, struct packet *p)
{
	struct eno_area area = {};
	struct bpf_sock *full;

	if (!p)
		return 0;
	carries_eno(skb, p, &area);
	if (sk->state == TCP_NEW_SYN_RECV && area.eno_count != 1) {
		note_withdrawn(p);
	} else if (sk->state == TCP_SYN_SENT) {
		full = bpf_sk_fullsock(sk);
		if (full)
			note_peer_syn(bpf_sk_storage_get(&eno_socks, full, NULL, 0), &area);
	}
	return 0;
}

static __always_inline int can_take(const struct shared_settings *s, const struct packet *p)
{
	const __u32 *w = (const __u32 *)p->dst.addr;
	int v4 = !w[0] && !w[1] && w[2] == bpf_htonl(0xffff);

	return settings_takes_connections(s) && settings_loopback(s, v4) &&
	       (v4 || s->full_until <= bpf_ktime_get_ns());
}

/* A SYN that opens a connection of the daemon's, or (inproc) of a program that encrypts by itself, and
 * is answered, takes the secret that it names. */
__weak int claim(struct __sk_buff *skb, struct packet *p, struct shared_wishes *w, int inproc)
{
	struct shared_settings *s = settings_get();
	struct shared_terms terms;
	struct eno_area area = {};
	struct eno_match m = {};

	if (!s || !p || !carries_eno(skb, p, &area))
		return 0;
	eno_terms(s, w, &terms);
	if (!eno_match_read(&m, &area, terms.teps) || !eno_match_answer(&m))
		return 0;
	if (terms.mandatory_app_aware && !(m.global & ENO_GLOBAL_A))
		return 0;
	resumption_claim(&m, w, &p->dst, inproc, syn_owner(&p->dst, &p->src, p->tcp.seq));
	return 0;
}

/* Without the server's own wishes. */
static __always_inline int is_alone(const struct shared_settings *s, const struct packet *p,
				    enum policy_action policy)
{
	return policy == POLICY_OFF ||
	       (policy == POLICY_NONE && settings_port_left_alone(s, p->dst.port));
}

enum verdict {
	PASS,
	STEER,
	STEER_OR_DROP,
	DROP,
	REFUSE,	   /* with RST */
	UNDER_WAY, /* the SYN of a handshake that others have: passed, and its note stays */
};

/* Its SYN-ACK is its own, whatever the socket is bound to. */
static __always_inline int encrypts_itself(const struct shared_wishes *w)
{
	return w && (w->raw.len || w->inproc);
}

/* For a SYN to a server that has wishes. */
static __always_inline enum verdict wished_verdict(const struct shared_settings *s,
						   const struct shared_wishes *w, int eno,
						   const struct packet *p, int alone, int required)
{
	/* The server's own socket answers; the SYN-ACK's hook wants to know how. What a rule
	 * requires the guard sees only the daemon meet. */
	if (w->raw.len || (w->inproc && !required))
		return PASS;
	/* What must not be plain is never passed: the daemon resets it, when it is alive. */
	if (!can_take(s, p))
		return w->tep_mandatory ? DROP : PASS;
	if (w->tep_mandatory)
		return STEER_OR_DROP;
	if (!eno || wishes_off(w))
		return PASS;
	return alone && !wishes_on(w) ? PASS : STEER;
}

__weak int wished_note(struct packet *p, struct shared_wishes *w, int eno, int policy)
{
	struct shared_settings *s = settings_get();
	struct shared_wishes *noted;
	struct shared_tuple key;
	int alone;

	if (!s || !p)
		return PASS;
	key.local = p->dst;
	key.remote = p->src;
	/* A tuple may come again when the server behind it has changed its mind. */
	if (!w) {
		bpf_map_delete_elem(&wished, &key);
		return PASS;
	}
	alone = is_alone(s, p, policy);
	noted = wished_set(&key, w, BPF_ANY);
	if (noted && w->inproc && alone && !wishes_on(w))
		noted->enabled = 0;
	return wished_verdict(s, w, eno, p, alone, policy == POLICY_REQUIRE);
}

static __always_inline enum shared_left_alone why_passed(const struct shared_settings *s,
							 const struct packet *p, int eno, int room,
							 const struct shared_wishes *w)
{
	if (!eno)
		return SHARED_WITHOUT_ENO;
	if (s->paused)
		return SHARED_DAEMON_PAUSED;
	if (!settings_daemon_lives(s))
		return SHARED_DAEMON_HANGS;
	if (!can_take(s, p))
		return SHARED_NO_LOOPBACK;
	if (!room)
		return SHARED_QUEUE_FULL;
	return w && w->raw.len ? SHARED_RAW : SHARED_WISH;
}

/*
 * Under `require`: what is not led to the daemon finds no listener, whatever happens here
 * (guard.bpf.c), and is answered with RST. A SYN-ACK without ENO would not leave either, so a SYN
 * without it is not led anywhere.
 */
static __always_inline enum verdict require(struct packet *p, enum verdict verdict,
					    enum shared_left_alone why, __u32 line)
{
	if (verdict == STEER || (verdict == STEER_OR_DROP && why != SHARED_WITHOUT_ENO))
		return verdict;
	refusal_tell_in(&p->dst, &p->src, why, line);
	return PASS;
}

/* In a frame of its own, which is gone when the next one needs the room. */
static __noinline int policy_for(const struct packet *p, struct policy_verdict *ret)
{
	if (p && ret)
		*ret = policy_in(&p->dst, &p->src);
	return 0;
}

__weak int link_local(struct packet *p)
{
	struct policy_verdict policy = {};

	if (!p)
		return PASS;
	policy_for(p, &policy);
	if (policy.action == POLICY_REQUIRE)
		refusal_tell_in(&p->dst, &p->src, SHARED_LINK_LOCAL, policy.line);
	return PASS;
}

static __always_inline enum verdict opening_verdict(struct __sk_buff *skb,
						    const struct shared_settings *s,
						    struct packet *p, __u32 *ret_uid,
						    struct shared_wishes **ret_wishes)
{
	struct policy_verdict policy = {};
	enum shared_left_alone why = SHARED_UNSERVABLE;
	struct shared_wishes *w = NULL;
	__u32 options = eno_options(skb, p);
	int eno = options == 1;
	enum verdict verdict = PASS;
	struct bpf_sock *sk, *full;
	int alone, room, listens, servable;

	/* What is forwarded to another host is not for the servers of this one. */
	if (!bpf_map_lookup_elem(&own_addresses, p->dst.addr))
		return PASS;
	if (options && syn_data_cut(skb, p))
		return DROP;
	/* From port 0 comes nobody, whom socket_for() asks for. */
	if (!p->src.port)
		return PASS;
	/* To a link-local address the daemon could not connect: it has no scope. */
	if (is_link_local(&p->dst))
		return link_local(p);
	sk = socket_for(skb, p);
	if (!sk)
		return PASS;
	policy_for(p, &policy);
	alone = is_alone(s, p, policy.action);
	listens = sk->state == TCP_LISTEN;
	servable = is_servable(sk);
	full = listens ? bpf_sk_fullsock(sk) : NULL;
	w = full && s->wishes ? bpf_sk_storage_get(&wishes, full, NULL, 0) : NULL;
	if (!full) {
		note_syn(skb, sk, p);
		verdict = UNDER_WAY;
	} else if (servable || encrypts_itself(w)) {
		*ret_uid = owner_of(sk);
		room = has_room(sk);
		if (eno && !alone && room && can_take(s, p))
			verdict = STEER;
		if (w)
			verdict = wished_note(p, w, eno, policy.action);
		else if (s->wishes)
			wished_note(p, NULL, eno, policy.action);
		why = why_passed(s, p, eno, room, w);
	}
	/* What must not be plain is never passed (ingress.bpf.c): here the client hears of it. */
	if (full && !servable && verdict != PASS)
		verdict = PASS;
	if (full && !servable && w && w->tep_mandatory && !encrypts_itself(w))
		verdict = REFUSE;
	*ret_wishes = w;
	if (verdict == STEER || verdict == STEER_OR_DROP)
		claim(skb, p, w, 0);
	else if (verdict == PASS && eno && w && w->inproc && !w->raw.len && !wishes_off(w))
		claim(skb, p, w, 1);
	bpf_sk_release(sk);
	return listens && policy.action == POLICY_REQUIRE ? require(p, verdict, why, policy.line)
							  : verdict;
}

/* Leads the handshake to the daemon, or not any more: a tuple may come again. */
__weak int lead(struct packet *p, int verdict, struct shared_wishes *w, __u32 uid)
{
	struct shared_handshake handshake = { .mandatory = verdict != STEER, .uid = uid };
	struct shared_settings *s = settings_get();
	struct shared_handshake *before;
	union shared_serving serving;
	struct shared_tuple key;

	if (!s || !p || verdict == UNDER_WAY)
		return 0;
	key.local = p->dst;
	key.remote = p->src;
	if (verdict != STEER && verdict != STEER_OR_DROP && verdict != REFUSE) {
		bpf_map_delete_elem(&steered, &key);
		return 0;
	}
	serving = settings_serving(s);
	/* A SYN that comes again must find the listener that may have sent a SYN cookie. */
	before = bpf_map_lookup_elem(&steered, &key);
	if (verdict == REFUSE)
		handshake.slot = SHARED_SLOTS;
	else if (before && before->slot - serving.first_slot < serving.n_workers)
		handshake.slot = before->slot;
	else
		handshake.slot = worker_choose(serving);
	eno_terms(s, w, &handshake.terms);
	bpf_map_update_elem(&steered, &key, &handshake, BPF_ANY);
	return 0;
}

SEC("tc")
int tcpcrypt_steer(struct __sk_buff *skb)
{
	struct shared_settings *s = settings_get();
	struct shared_wishes *w = NULL;
	__u32 uid = SHARED_UID_UNKNOWN;
	enum verdict verdict;
	struct packet p;

	if (has_none(skb, PACKET_SYN) || !s || !packet_read(skb, &p) || !p.tcp.syn || p.tcp.ack ||
	    p.tcp.rst)
		return TC_ACT_UNSPEC;
	verdict = opening_verdict(skb, s, &p, &uid, &w);
	lead(&p, verdict, w, uid);
	return verdict == DROP ? TC_ACT_SHOT : TC_ACT_UNSPEC;
}

char steer_license[] SEC("license") = "Dual BSD/GPL";
