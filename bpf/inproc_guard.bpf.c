// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup egress, attached while programs encrypt by themselves. On a socket of theirs that
 * negotiated encryption the first payload is an Init message, or a frame if it resumes a session; anything else is plain text that
 * some call wrote past the library, and never leaves (8547-4.6-8, 8548-3.2-5).
 */
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/if_ether.h>
#include <linux/tcp.h>

#include "bpf/maps.h"
#include "core/wire.h"

enum { DROP, PASS };

/* Where the payload begins; 0: there is none, or this is not TCP. */
static __always_inline __u32 payload_at(struct __sk_buff *skb)
{
	struct tcphdr tcp;
	__u32 at;

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
	if (bpf_skb_load_bytes(skb, at, &tcp, sizeof(tcp)))
		return 0;
	at += tcp.doff * 4;
	return at < skb->len ? at : 0;
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
	bpf_ringbuf_submit(e, 0);
}

static __always_inline int is_init(struct __sk_buff *skb, __u32 at, const struct eno_sock *sock)
{
	__be32 magic;

	if (bpf_skb_load_bytes(skb, at, &magic, sizeof(magic)))
		return 0;
	return magic == bpf_htonl(sock->raw_role ? WIRE_INIT2_MAGIC : WIRE_INIT1_MAGIC);
}

/* A resumed session's first payload: a frame of data, or with the end of it. Of plain text hardly
 * anything begins with a zero. */
static __always_inline int is_frame(struct __sk_buff *skb, __u32 at)
{
	__u8 header[3];

	if (bpf_skb_load_bytes(skb, at, header, sizeof(header)))
		return 0;
	return !(header[0] & ~WIRE_CONTROL_REKEY) && (header[1] << 8 | header[2]) >= WIRE_CLEN_MIN;
}

SEC("cgroup_skb/egress")
int tcpcrypt_inproc_guard(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;
	struct eno_sock *sock;
	__u32 at;

	if (!sk)
		return PASS;
	sock = bpf_sk_storage_get(&eno_socks, sk, NULL, 0);
	if (!sock || sock->kind != ENO_SOCK_INPROC || sock->guard == ENO_SOCK_PASSED ||
	    (sock->state == ENO_SOCK_DISABLED && !sock->required))
		return PASS;
	at = payload_at(skb);
	if (!at)
		return PASS;
	if (sock->state == ENO_SOCK_ENABLED &&
	    (sock->resumes ? is_frame(skb, at) : is_init(skb, at, sock))) {
		sock->guard = ENO_SOCK_PASSED;
		return PASS;
	}
	if (sock->guard != ENO_SOCK_VIOLATED)
		tell(skb);
	sock->guard = ENO_SOCK_VIOLATED;
	return DROP;
}

char inproc_guard_license[] SEC("license") = "Dual BSD/GPL";
