/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The socket options that act on the wire: reading those of a program's socket. Kernel side. */
#ifndef BPF_OPTIONS_H
#define BPF_OPTIONS_H

#include "bpf/kind.h"
#include "bpf/maps.h"

/* Of <asm-generic/socket.h>, <linux/in.h>, <linux/in6.h> and <linux/tcp.h>, which do not go with
 * the programs' other headers. */
#define SOL_SOCKET	   1
#define SO_KEEPALIVE	   9
#define SO_OOBINLINE	   10
#define SO_PRIORITY	   12
#define SO_BINDTODEVICE	   25
#define SO_MARK		   36
#define SO_MAX_PACING_RATE 47
#define SO_BINDTOIFINDEX   62
#define SOL_IP		   0
#define IP_TOS		   1
#define IP_TTL		   2
#define IP_OPTIONS	   4
#define IP_MINTTL	   21
#define SOL_IPV6	   41
#define IPV6_2292RTHDR	   5
#define IPV6_2292PKTOPTS   6 /* IPV6_2292PKTOPTIONS */
#define IPV6_UNICAST_HOPS  16
#define IPV6_RTHDR	   57
#define IPV6_TCLASS	   67
#define IPV6_MINHOPCOUNT   73
#define SOL_TCP		   6
#define TCP_NODELAY	   1
#define TCP_MAXSEG	   2
#define TCP_KEEPIDLE	   4
#define TCP_KEEPINTVL	   5
#define TCP_KEEPCNT	   6
#define TCP_SYNCNT	   7
#define TCP_CONGESTION	   13
#define TCP_USER_TIMEOUT   18
#define TCP_NOTSENT_LOWAT  25

#define ECN_BITS 3 /* TCP's own, of a traffic class */

static __always_inline void option_note(struct app_options *o, enum app_option i, __s32 value)
{
	o->value[i] = value;
	o->set |= 1u << i;
}

/* Notes an option when it is not as usual. */
static __always_inline void option_get(void *ctx, struct app_options *o,
				       const struct app_options *usual, enum app_option i,
				       int level, int name)
{
	__s32 value;

	if (!bpf_getsockopt(ctx, level, name, &value, sizeof(value)) && value != usual->value[i])
		option_note(o, i, value);
}

/* Fields for which there is no getsockopt() here. */
static __always_inline void fields_get(void *sk, struct app_options *o)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct inet_sock *inet;
	struct ipv6_pinfo *v6;
	__s32 hops;

	if (!tp)
		return;
	inet = &tp->inet_conn.icsk_inet;
	if (inet->tos & ~ECN_BITS)
		option_note(o, APP_TOS, inet->tos & ~ECN_BITS);
	if (inet->uc_ttl != -1)
		option_note(o, APP_TTL, inet->uc_ttl);
	if (inet->min_ttl)
		option_note(o, APP_MINTTL, inet->min_ttl);
	v6 = inet->pinet6;
	if (!v6)
		return;
	hops = hop_limit(v6);
	if (v6->tclass & ~ECN_BITS)
		option_note(o, APP_TCLASS, v6->tclass & ~ECN_BITS);
	if (hops != -1)
		option_note(o, APP_HOPS, hops);
	if (v6->min_hopcount)
		option_note(o, APP_MINHOPS, v6->min_hopcount);
}

static __always_inline int name_differs(const char *a, const char *b)
{
	for (int i = 0; i < SHARED_CONGESTION_LEN; i++) {
		if (a[i] != b[i])
			return 1;
		if (!a[i])
			break;
	}
	return 0;
}

/* Is any of the rarer options set? To ask for each costs more than all that is noted of a socket. */
static __always_inline int has_timing(void *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	return tp && (tp->keepalive_time || tp->keepalive_intvl || tp->keepalive_probes ||
		      tp->notsent_lowat || tp->inet_conn.icsk_user_timeout);
}

/* What is unusual of the socket's options. o: zero before. */
static __always_inline void options_get(void *ctx, void *sk, struct app_options *o,
					const struct app_options *usual)
{
	__s32 priority;

	option_get(ctx, o, usual, APP_KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE);
	if (has_timing(sk)) {
		option_get(ctx, o, usual, APP_KEEPIDLE, SOL_TCP, TCP_KEEPIDLE);
		option_get(ctx, o, usual, APP_KEEPINTVL, SOL_TCP, TCP_KEEPINTVL);
		option_get(ctx, o, usual, APP_KEEPCNT, SOL_TCP, TCP_KEEPCNT);
		option_get(ctx, o, usual, APP_USER_TIMEOUT, SOL_TCP, TCP_USER_TIMEOUT);
		option_get(ctx, o, usual, APP_NOTSENT_LOWAT, SOL_TCP, TCP_NOTSENT_LOWAT);
	}
	option_get(ctx, o, usual, APP_PACING_RATE, SOL_SOCKET, SO_MAX_PACING_RATE);
	fields_get(sk, o);
	/* With a class of service of its own, even the usual priority is one that was chosen. */
	if (!bpf_getsockopt(ctx, SOL_SOCKET, SO_PRIORITY, &priority, sizeof(priority)) &&
	    (priority || o->set & 1u << APP_TOS))
		option_note(o, APP_PRIORITY, priority);
	o->free_choice = 1;
	if (!congestion_chosen(sk) ||
	    bpf_getsockopt(ctx, SOL_TCP, TCP_CONGESTION, o->congestion, sizeof(o->congestion)) ||
	    !name_differs(o->congestion, usual->congestion))
		o->congestion[0] = '\0';
}

/* The worker's ring is full: it looks for this once a second. */
static __noinline int options_untold(const struct app_sock *app,
				     const struct shared_endpoint *program)
{
	struct shared_flow_end news = {};
	struct shared_worker *w;
	__u64 cookie;
	__u32 slot;

	if (!app)
		return 0;
	cookie = app->cookie;
	slot = app->slot;
	news.flow = app->flow;
	if (program)
		news.end = *program;
	if (bpf_map_update_elem(&untold, &cookie, &news, BPF_ANY))
		return 0;
	w = bpf_map_lookup_elem(&workers, &slot);
	if (w)
		__sync_fetch_and_add(&w->unheard, 1);
	return 0;
}

/* Tells the daemon that changed_options has news, unless it has still to look. app_cookie: the
 * socket's; flow: 0 while connect() is under way, then program is its local end. */
static __always_inline int options_tell(const struct app_sock *app,
					const struct shared_endpoint *program)
{
	struct shared_told key = { .type = SHARED_EVENT_OPTIONS };
	struct shared_event *e;
	__u8 yes = 1;

	if (!app)
		return 0;
	key.cookie = app->cookie;
	if (bpf_map_update_elem(&told, &key, &yes, BPF_NOEXIST))
		return 0;
	e = event_reserve(app->slot);
	if (!e) {
		bpf_map_delete_elem(&told, &key);
		return options_untold(app, program);
	}
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_OPTIONS;
	e->cookie = app->cookie;
	e->app.flow = app->flow;
	if (program)
		e->app.local = *program;
	event_submit(e, app->slot);
	return 0;
}

#endif
