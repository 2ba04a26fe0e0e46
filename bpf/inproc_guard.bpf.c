// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup egress, attached while programs encrypt by themselves. What leaves a socket of
 * theirs that negotiated encryption is an Init message, unless it resumes a session, and then
 * frames, one behind the other. Whatever else stands where one should begin is plain text that
 * some call wrote past the library: it never leaves, nor does anything after it (8547-4.6-8,
 * 8548-3.2-5).
 *
 * Each byte comes here when it leaves for the first time in the order of the stream, and perhaps
 * again; where the next header must be is known from the one before.
 */
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>

#include "bpf/loop.h"
#include "bpf/maps.h"
#include "core/wire.h"

enum { DROP, PASS };

/* As many as could lie in the largest packet, before it is cut into segments. */
#define FRAMES_MAX (1 << 15)

/* A packet's part of the stream. */
struct payload {
	struct __sk_buff *skb;
	struct eno_sock *sock;
	__u32 at; /* in the packet */
	__u32 seq;
	__u32 end;
	int bad;
};

/* Where TCP's header is, and the header. Returns 0 when this is not TCP. */
static __noinline int header_load(struct __sk_buff *skb, struct tcphdr *tcp)
{
	__u32 at;

	if (!tcp)
		return 0;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.protocol != IPPROTO_TCP)
			return 0;
		at = ip.ihl * 4;
	} else {
		struct ipv6hdr ip;

		if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.nexthdr != IPPROTO_TCP)
			return 0;
		at = sizeof(ip);
	}
	return bpf_skb_load_bytes(skb, at, tcp, sizeof(*tcp)) ? 0 : at;
}

/* The same of a packet that lies in one piece so far, as those of local sockets do. */
static __always_inline int header_see(struct __sk_buff *skb, struct tcphdr *tcp)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *v4 = data;
	struct ipv6hdr *v6 = data;
	__u32 at;

	if (data + sizeof(*v6) + sizeof(*tcp) > end)
		return 0;
	if (v4->version == 4)
		at = v4->protocol == IPPROTO_TCP && v4->ihl == 5 ? sizeof(*v4) : 0;
	else
		at = v6->nexthdr == IPPROTO_TCP ? sizeof(*v6) : 0;
	if (at)
		__builtin_memcpy(tcp, data + at, sizeof(*tcp));
	return at;
}

/* Returns 0 when there is none, or this is not TCP. */
static __always_inline int payload_find(struct __sk_buff *skb, struct payload *p)
{
	struct tcphdr tcp;
	__u32 at = header_see(skb, &tcp);

	if (!at)
		at = header_load(skb, &tcp);
	if (!at)
		return 0;
	at += tcp.doff * 4;
	if (at >= skb->len)
		return 0;
	p->skb = skb;
	p->at = at;
	p->seq = bpf_ntohl(tcp.seq);
	p->end = p->seq + skb->len - at;
	p->bad = loop_zero();
	return 1;
}

static __always_inline void tell(struct __sk_buff *skb)
{
	struct shared_settings *s = settings_get();
	struct shared_event *e = s ? event_reserve(settings_serving(s).first_slot) : NULL;

	if (!e)
		return;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_LEAK;
	e->cookie = bpf_get_socket_cookie(skb);
	event_submit(e, settings_serving(s).first_slot);
}

/* One more byte of the header that is due. Returns 0 when the packet does not have it. */
static __always_inline int header_byte(struct payload *p, struct eno_sock *sock, __u32 i)
{
	__u32 seq = sock->next_seq + i;

	if (i < sock->header_len)
		return 1;
	if ((__s32)(seq - p->end) >= 0)
		return 0;
	/* In order, so it cannot lie before the packet. */
	if ((__s32)(seq - p->seq) < 0 ||
	    bpf_skb_load_bytes(p->skb, p->at + (seq - p->seq), &sock->header[i & 7], 1))
		p->bad = 1;
	sock->header_len = i + 1;
	return !p->bad;
}

/* A frame's, if the packet has all of it. */
static __always_inline void header_whole(struct payload *p, struct eno_sock *sock)
{
	__u32 skip = sock->next_seq - p->seq, len = p->end - p->seq;

	if (sock->header_len || skip >= len || len - skip < WIRE_FRAME_HEADER_LEN)
		return;
	if (bpf_skb_load_bytes(p->skb, p->at + skip, sock->header, WIRE_FRAME_HEADER_LEN))
		p->bad = 1;
	sock->header_len = WIRE_FRAME_HEADER_LEN;
}

/* How long the message is that begins so; 0: none does. */
static __always_inline __u32 init_len(const struct eno_sock *sock)
{
	const __u8 *h = sock->header;
	__u32 magic = h[0] << 24 | h[1] << 16 | h[2] << 8 | h[3];
	__u32 len = h[4] << 24 | h[5] << 16 | h[6] << 8 | h[7];

	if (magic != (sock->raw_role ? WIRE_INIT2_MAGIC : WIRE_INIT1_MAGIC))
		return 0;
	return len >= WIRE_INIT_HEADER_LEN && len <= WIRE_INIT_SENT_MAX ? len : 0;
}

/* This host sends the reserved bits as zero. */
static __always_inline __u32 frame_len(const struct eno_sock *sock)
{
	const __u8 *h = sock->header;
	__u32 clen = h[1] << 8 | h[2];

	return h[0] > WIRE_CONTROL_REKEY || clen < WIRE_CLEN_MIN ? 0 : WIRE_FRAME_HEADER_LEN + clen;
}

static __always_inline int header_pass(struct payload *p, struct eno_sock *sock, __u32 len)
{
	if (!len)
		p->bad = 1;
	sock->next_seq += len;
	sock->header_len = 0;
	return p->bad;
}

static __always_inline int init_check(struct payload *p, struct eno_sock *sock)
{
	for (__u32 i = 0; i < WIRE_INIT_HEADER_LEN; i++)
		if (!header_byte(p, sock, i))
			return 1;
	sock->guard = ENO_SOCK_PASSED;
	return header_pass(p, sock, init_len(sock));
}

/* Stops behind the packet's last header. */
static long frame_check(__u32 i, void *ctx)
{
	struct payload *p = ctx;
	struct eno_sock *sock = p->sock;

	/* There are no such packets. */
	if (i == FRAMES_MAX - 1)
		p->bad = 1;
	header_whole(p, sock);
	for (__u32 at = 0; at < WIRE_FRAME_HEADER_LEN; at++)
		if (!header_byte(p, sock, at))
			return 1;
	return header_pass(p, sock, frame_len(sock)) ? 1 : 0;
}

static __always_inline int check(struct payload *p, struct eno_sock *sock)
{
	if (sock->state != ENO_SOCK_ENABLED)
		return -1;
	if (sock->guard == ENO_SOCK_GUARDED && !sock->header_len)
		sock->next_seq = p->seq;
	if (sock->guard == ENO_SOCK_GUARDED && sock->resumes)
		sock->guard = ENO_SOCK_PASSED;
	if (sock->guard == ENO_SOCK_GUARDED && init_check(p, sock))
		return p->bad;
	bpf_loop(FRAMES_MAX, frame_check, p, 0);
	return p->bad;
}

SEC("cgroup_skb/egress")
int tcpcrypt_inproc_guard(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct payload payload;
	struct eno_sock *sock;

	if (!sk)
		return PASS;
	sock = bpf_sk_storage_get(&eno_socks, sk, NULL, 0);
	if (!sock || sock->kind != ENO_SOCK_INPROC ||
	    (sock->state == ENO_SOCK_DISABLED && !sock->required))
		return PASS;
	if (!payload_find(skb, &payload))
		return PASS;
	payload.sock = sock;
	if (sock->guard != ENO_SOCK_VIOLATED && !check(&payload, sock))
		return PASS;
	if (sock->guard != ENO_SOCK_VIOLATED)
		tell(skb);
	sock->guard = ENO_SOCK_VIOLATED;
	return DROP;
}

char inproc_guard_license[] SEC("license") = "Dual BSD/GPL";
