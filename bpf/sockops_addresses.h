/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The addresses that programs see, carried over from the daemon's sockets to theirs; and what
 * servers have set, the other way. Included by sockops.bpf.c only.
 */
#ifndef BPF_SOCKOPS_ADDRESSES_H
#define BPF_SOCKOPS_ADDRESSES_H

#include "bpf/options.h"
#include "bpf/place.h"
#include "bpf/sockops.h"

/* What a server has set on its listener, its connection to the client shall have, too. */
static __noinline int inherited_tell(struct bpf_sock_ops *ops, struct app_sock *app)
{
	struct shared_settings *s = settings_get();
	struct app_options *o;

	if (!s || !app || !ops->sk)
		return 0;
	o = &app->options;
	options_get(ops, ops->sk, o, &s->usual);
	if (!o->set && !o->congestion[0])
		return 0;
	bpf_map_update_elem(&changed_options, &app->cookie, o, BPF_ANY);
	return options_tell(app, NULL);
}

/* TCP_ENO_TEP_MANDATORY was set on the listener while the handshake was under way: ingress.bpf.c has let
 * its SYN pass. */
static __noinline int plain_accepted(struct bpf_sock_ops *ops, const struct shared_settings *s,
				     const struct shared_tuple *ends)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_wishes *w;
	struct shared_event *e;

	if (!sk || !s || !ends || !s->wishes || stays_on_host(&ends->remote))
		return 0;
	w = bpf_sk_storage_get(&wishes, sk, NULL, 0);
	if (!w || !w->tep_mandatory || bpf_sk_storage_get(&eno_socks, sk, NULL, 0))
		return 0;
	e = event_reserve(settings_serving(s).first_slot);
	if (!e)
		return 0;
	__builtin_memset(e, 0, sizeof(*e));
	e->type = SHARED_EVENT_PLAIN;
	e->cookie = bpf_get_socket_cookie(ops);
	event_submit(e, settings_serving(s).first_slot);
	return 0;
}

/* The server's end of one of the daemon's connections: remember whom it shall see. */
static __noinline int app_accepted(struct bpf_sock_ops *ops, const struct shared_settings *s)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_flow_end *client;
	struct shared_tuple key;
	struct app_sock *app;

	tuple_set(&key, ops);
	client = bpf_map_lookup_elem(&clients, &key);
	if (!client)
		return plain_accepted(ops, s, &key);
	if (!sk || !s)
		return 0;
	app = bpf_sk_storage_get(&app_socks, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (app) {
		app->peer = client->end;
		app->flow = client->flow;
		app->cookie = bpf_get_socket_cookie(ops);
		app->slot = shared_flow_slot(client->flow);
		app->passive = 1;
		inherited_tell(ops, app);
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

/* The worker's ring is full: it looks for this once a second. */
static __noinline int gave_up_unheard(struct bpf_sock_ops *ops, __u32 slot)
{
	__u64 cookie = bpf_get_socket_cookie(ops);
	struct shared_worker *w;
	__u8 yes = 1;

	if (bpf_map_update_elem(&unheard, &cookie, &yes, BPF_ANY))
		return 0;
	w = bpf_map_lookup_elem(&workers, &slot);
	if (w)
		__sync_fetch_and_add(&w->unheard, 1);
	return 0;
}

/* Closed before it was connected: nobody wants the upstream connection any more. */
static __noinline int app_gave_up(struct bpf_sock_ops *ops)
{
	struct bpf_sock *sk = ops->sk;
	struct shared_tuple ends;
	struct shared_event *e;
	struct app_sock *app;

	app = sk ? bpf_sk_storage_get(&app_socks, sk, NULL, 0) : NULL;
	if (!app)
		return 0;
	e = event_reserve(app->slot);
	if (!e)
		return gave_up_unheard(ops, app->slot);
	__builtin_memset(e, 0, sizeof(*e));
	tuple_set(&ends, ops);
	e->type = SHARED_EVENT_GAVE_UP;
	e->cookie = bpf_get_socket_cookie(ops);
	e->app.local = ends.local;
	event_submit(e, app->slot);
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

/* The daemon connects for a program: the program's getsockname() tells what the SYN will. */
static __noinline int upstream_connecting(struct bpf_sock_ops *ops, struct eno_sock *sock)
{
	struct shared_tuple t;

	if (!sock)
		return 0;
	tuple_set(&t, ops);
	sock->client.end = t.local;
	sock->client.flow = sock->flow;
	bpf_map_update_elem(&released, &sock->program, &sock->client, BPF_ANY);
	return 0;
}

/* What became of the offer, for the daemon to read, if the flow has a place. */
static __noinline int opening_tell(const struct eno_sock *sock)
{
	struct shared_opening *o;
	__u64 marked, telling;
	__u32 place;

	if (!sock)
		return 0;
	place = shared_opening(sock->flow);
	o = bpf_map_lookup_elem(&openings, &place);
	marked = shared_opening_stage(sock->flow, SHARED_OPENING_MARKED);
	telling = shared_opening_stage(sock->flow, SHARED_OPENING_TELLING);
	if (!o || __sync_val_compare_and_swap(&o->stage, marked, telling) != marked)
		return 0;
	o->sock = *sock;
	/* A full barrier. */
	__sync_val_compare_and_swap(&o->stage, telling,
				    shared_opening_stage(sock->flow, SHARED_OPENING_TOLD));
	return 0;
}

/* The program's connect() may complete: should the note have given way to others, it is made again. */
static __always_inline void upstream_connected(struct eno_sock *sock)
{
	if (!bpf_map_lookup_elem(&released, &sock->program))
		bpf_map_update_elem(&released, &sock->program, &sock->client, BPF_ANY);
}

#endif
