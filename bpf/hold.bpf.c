// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: TC egress on lo. Holds the SYN of a program whose connect() was turned to the
 * daemon: hands it to the daemon and takes it off the wire, so that connect() stays where
 * it is until the far side has answered. The daemon sends the SYN again from a socket of its
 * own, by which it is told from the program's retransmissions. Takes off, too, what would reset a
 * connection for a race of the kernel's.
 */
#include "bpf/packet.h"

static __always_inline struct app_sock *app_sock_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	return sk ? bpf_sk_storage_get(&app_socks, sk, NULL, 0) : NULL;
}

static __always_inline struct shared_wishes *wishes_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	return sk ? bpf_sk_storage_get(&wishes, sk, NULL, 0) : NULL;
}

/* A daemon that hangs finds the SYN when it goes on; one that is gone must not be waited for. */
static __always_inline int daemon_listens(struct __sk_buff *skb, const struct packet *p)
{
	struct shared_endpoint nobody = {};
	struct bpf_sock *sk = packet_lookup(skb, &nobody, &p->dst);
	int listens;

	if (!sk)
		return 0;
	listens = sk->state == TCP_LISTEN;
	bpf_sk_release(sk);
	return listens;
}

/* When it is released, the SYN shall find the listener of the worker that is told of it. */
static __always_inline void lead(const struct app_sock *app, const struct packet *p)
{
	struct shared_tuple key = { .local = p->dst, .remote = p->src };
	struct shared_handshake handshake = { .slot = app->slot };

	bpf_map_update_elem(&held, &key, &handshake, BPF_ANY);
}

/*
 * When a handshake ends the kernel puts the connection's socket in place of the request's, and another
 * CPU that looks there at that moment may find neither: what a program says right behind its ACK then
 * comes to the listener, which resets a connection that lives. (Linux has narrowed this by "inet: Avoid
 * ehash lookup race in inet_ehash_insert()"; on 6.18.44 it happens to one of some 30,000 when both CPUs
 * are overrun.) Without the reset the program's TCP says it again. What the daemon resets by itself
 * has left the table before.
 */
static __always_inline int resets_the_living(struct __sk_buff *skb, const struct packet *p)
{
	const struct shared_tuple ends = { .local = p->src, .remote = p->dst };
	struct bpf_sock *sk;
	int lives;

	if (!bpf_map_lookup_elem(&held, &ends))
		return 0;
	sk = packet_lookup(skb, &p->dst, &p->src);
	if (!sk)
		return 0;
	lives = sk->state == TCP_ESTABLISHED || sk->state == TCP_SYN_RECV ||
		sk->state == TCP_NEW_SYN_RECV;
	bpf_sk_release(sk);
	return lives;
}

/* Linux 6.1's verifier has to be shown both bounds right here, one by one, and takes no != 0 for one. */
static __always_inline long syn_copy(struct __sk_buff *skb, __u8 to[SHARED_SYN_MAX], __u32 len)
{
	barrier_var(len);
	if (len > SHARED_SYN_MAX)
		return -1;
	barrier_var(len);
	if (len < sizeof(struct tcphdr))
		return -1;
	return bpf_skb_load_bytes_relative(skb, 0, to, len, BPF_HDR_START_NET);
}

SEC("tc")
int tcpcrypt_hold(struct __sk_buff *skb)
{
	struct shared_settings *s = settings_get();
	struct shared_event *e;
	struct shared_wishes *w;
	struct app_sock *app;
	struct packet p;
	__u32 len;

	if (has_none(skb, PACKET_SYN | PACKET_RST) || !s || !packet_read(skb, &p))
		return TC_ACT_UNSPEC;
	if (p.tcp.rst)
		return resets_the_living(skb, &p) ? TC_ACT_STOLEN : TC_ACT_UNSPEC;
	if (!p.tcp.syn || p.tcp.ack)
		return TC_ACT_UNSPEC;
	/* Released, or not one of ours: the daemon resets what it did not expect. */
	app = app_sock_of(skb);
	if (!app || p.dst.port != app->port || !daemon_listens(skb, &p))
		return TC_ACT_UNSPEC;
	w = s->wishes ? wishes_of(skb) : NULL;
	len = p.ip_len + p.tcp_len;
	if (len > SHARED_SYN_MAX || len < sizeof(struct tcphdr))
		return TC_ACT_SHOT;
	e = event_reserve(app->slot);
	/* The program's retransmission will try again. Stolen, as below: for a SYN that was shot TCP
	 * tries twice a second, and gives up when all tries are used. */
	if (!e)
		return TC_ACT_STOLEN;
	e->type = SHARED_EVENT_HELD_SYN;
	e->syn_len = len;
	e->cookie = bpf_get_socket_cookie(skb);
	e->app = *app;
	e->ends.local = p.src;
	e->ends.remote = p.dst;
	if (w)
		e->wishes = *w;
	else
		__builtin_memset(&e->wishes, 0, sizeof(e->wishes));
	if (syn_copy(skb, e->syn, len)) {
		bpf_ringbuf_discard(e, 0);
		return TC_ACT_SHOT;
	}
	lead(app, &p);
	event_submit(e, app->slot);
	/* Not SHOT: TCP would take the loss for congestion and start slowly. */
	return TC_ACT_STOLEN;
}

char hold_license[] SEC("license") = "Dual BSD/GPL";
