// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * Hook: cgroup sockops. Puts the ENO option into the segments of the daemon's own sockets,
 * reads the peer's, and decides the negotiation at the moment the handshake ends, because
 * the segment that depends on it leaves before user space could be asked. Also carries
 * addresses over from the daemon's sockets to the programs' ones.
 */
#include "bpf/sockops_addresses.h"
#include "bpf/sockops_eno.h"
#include "bpf/sockops_inproc.h"
#include "bpf/sockops_raw.h"

static __always_inline int carries_own_syn(const struct eno_sock *sock)
{
	return sock && (sock->kind == ENO_SOCK_UPSTREAM || sock->kind == ENO_SOCK_RAW ||
			sock->kind == ENO_SOCK_INPROC);
}

/* Not one of the daemon's. */
static __always_inline int is_programs_own(const struct eno_sock *sock)
{
	return !sock || sock->kind == ENO_SOCK_RAW || sock->kind == ENO_SOCK_INPROC;
}

/* The handshake has. */
static __always_inline void upstream_ended(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	upstream_established(ops, sock);
	upstream_connected(sock);
	opening_tell(sock);
}

SEC("sockops")
int tcpcrypt_sockops(struct bpf_sock_ops *ops)
{
	struct shared_settings *s;
	struct eno_sock *sock;

	/* Asked of every socket, and never of interest. */
	if (ops->op == BPF_SOCK_OPS_RWND_INIT || ops->op == BPF_SOCK_OPS_NEEDS_ECN)
		return 1;
	s = settings_get();
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
		else if (s->wishes && is_programs_own(sock) && !inproc_listen(ops, s))
			raw_listen(ops);
		break;
	case BPF_SOCK_OPS_TIMEOUT_INIT:
		sock = eno_sock_get(ops);
		if (sock && s->syn_timeout &&
		    (sock->kind == ENO_SOCK_UPSTREAM || sock->kind == ENO_SOCK_INPROC))
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
			upstream_ended(ops, sock);
		else if (sock->kind == ENO_SOCK_RAW)
			raw_connected(ops, sock);
		else if (sock->kind == ENO_SOCK_INPROC)
			inproc_connected(ops, sock);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		sock = eno_sock_get(ops);
		if (!sock) {
			if (ops->bpf_sock_ops_cb_flags & BPF_SOCK_OPS_WRITE_HDR_OPT_CB_FLAG)
				unmarked_accepted(ops);
			app_accepted(ops, s);
		} else if (sock->kind == ENO_SOCK_STEERED)
			steered_established(ops, sock);
		else if (sock->kind == ENO_SOCK_INPROC)
			inproc_accepted(ops, sock, s);
		else if (sock->kind == ENO_SOCK_UPSTREAM) /* by simultaneous open */
			upstream_ended(ops, sock);
		else if (sock->kind == ENO_SOCK_RAW && sock->own_len) /* the same */
			raw_connected(ops, sock);
		else if (sock->kind == ENO_SOCK_RAW)
			raw_accepted(ops, sock);
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
