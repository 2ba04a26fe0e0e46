// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: sk_lookup of the network namespace: where the kernel looks for a listener. Gives the
 * right worker's to the handshakes that steer.bpf.c and hold.bpf.c noted. Here routing, address
 * translation and connections in TIME_WAIT are behind us, and the ACK that answers a SYN cookie
 * passes, too.
 */
#include "bpf/lookup.h"
#include "bpf/place.h"

SEC("sk_lookup")
int tcpcrypt_lookup(struct bpf_sk_lookup *ctx)
{
	struct shared_settings *s = settings_get();
	struct shared_handshake *noted;
	__u32 out, index, mandatory;
	struct shared_tuple key;
	struct bpf_sock *sk;
	long error;

	if (!s || ctx->protocol != IPPROTO_TCP)
		return SK_PASS;
	lookup_ends(&key, ctx);
	/* Programs' SYNs go to loopback, what was steered came from elsewhere. */
	out = is_loopback((const __u32 *)key.local.addr);
	noted = out ? bpf_map_lookup_elem(&held, &key) : bpf_map_lookup_elem(&steered, &key);
	if (!noted)
		return SK_PASS;
	/* Should there be no listener, the server gets the segment: plain, but connected;
	 * unless it would rather have none. */
	mandatory = noted->mandatory;
	index = shared_listener(noted->slot, out, ctx->family != AF_INET);
	sk = bpf_map_lookup_elem(&listeners, &index);
	if (!sk)
		return mandatory ? SK_DROP : SK_PASS;
	error = bpf_sk_assign(ctx, sk, BPF_SK_LOOKUP_F_NO_REUSEPORT);
	bpf_sk_release(sk);
	return error && mandatory ? SK_DROP : SK_PASS;
}

char lookup_license[] SEC("license") = "Dual BSD/GPL";
