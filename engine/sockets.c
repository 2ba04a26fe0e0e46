// SPDX-License-Identifier: BSD-2-Clause
/* What the programs are told of single sockets and destinations, and tell of them. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/expiry.h"
#include "engine/programs.h"

static int mark(struct engine *e, int fd, const struct eno_sock *sock)
{
	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.eno_socks), &fd, sock, BPF_ANY);
}

/* 8548-3.5-15: the only suboption, because a SYN has just the room for it. */
static void offer_resumption(struct eno_sock *sock, const struct engine_offer *offer)
{
	memcpy(sock->fresh, sock->own, sizeof(sock->fresh));
	memcpy(sock->fresh_teps, sock->teps, sizeof(sock->fresh_teps));
	sock->fresh_len = sock->own_len;
	memcpy(sock->own, offer->resume, sizeof(sock->own));
	memset(sock->teps, 0, sizeof(sock->teps));
	sock->teps[0] = offer->peer_half.tep;
	sock->own_len = offer->resume_len;
	sock->nonce_len = offer->nonce_len;
	sock->peer_half = offer->peer_half;
}

static bool stage_change(struct shared_opening *o, uint64_t from, uint64_t to)
{
	return __atomic_compare_exchange_n(&o->stage, &from, to, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

/* Lets the programs mark fd, as they see SO_OOBINLINE set. False: the flow has no place, or they
 * did not. */
static bool opening_offer(struct engine *e, int fd, const struct eno_sock *sock)
{
	const uint64_t offered = shared_opening_stage(sock->flow, SHARED_OPENING_OFFERED);
	const uint64_t marked = shared_opening_stage(sock->flow, SHARED_OPENING_MARKED);
	const struct shared_inline value = { 1, shared_opening(sock->flow), e->token };
	struct shared_opening *o = &e->openings[value.place];

	if (!stage_change(o, 0, shared_opening_stage(sock->flow, SHARED_OPENING_FILLING))) {
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &value.on, sizeof(value.on));
		return false;
	}
	o->token = e->token;
	o->sock = *sock;
	__atomic_store_n(&o->stage, offered, __ATOMIC_RELEASE);
	/* Others' programs may not like its length. */
	if (setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &value, sizeof(value)))
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &value.on, sizeof(value.on));
	/* Otherwise it is marked by our caller. */
	return !stage_change(o, offered, marked);
}

void engine_forget_opening(struct engine *e, uint64_t flow)
{
	struct shared_opening *o = &e->openings[shared_opening(flow)];

	/* The programs are not writing: they do with the socket locked, and it is closed. */
	if (!stage_change(o, shared_opening_stage(flow, SHARED_OPENING_MARKED), 0))
		stage_change(o, shared_opening_stage(flow, SHARED_OPENING_TOLD), 0);
}

void sockets_forget_slot(struct engine *e, uint32_t slot)
{
	for (size_t i = 0; i < SHARED_OPENINGS; i++) {
		struct shared_opening *o = &e->openings[i];
		uint64_t stage = __atomic_load_n(&o->stage, __ATOMIC_ACQUIRE);
		uint64_t flow = shared_opening_flow(stage);

		/* The sockets of who was killed are closed a little after it is known to be gone. */
		if (stage && shared_flow_slot(flow) == slot &&
		    stage != shared_opening_stage(flow, SHARED_OPENING_TELLING))
			stage_change(o, stage, 0);
	}
	for (size_t i = 0; i < SHARED_VIEWS; i++) {
		uint64_t owner = __atomic_load_n(&e->views[i].owner, __ATOMIC_RELAXED);

		if (owner && shared_flow_slot(owner) == slot)
			engine_session_withdraw(e, owner);
	}
}

int engine_mark_upstream(struct engine *e, int fd, const struct engine_offer *offer,
			 const struct shared_event *held, uint64_t flow)
{
	struct eno_sock sock = { .kind = ENO_SOCK_UPSTREAM,
				 .own_len = offer->len,
				 .program = held->cookie,
				 .flow = flow,
				 .required = held->app.policy == POLICY_REQUIRE };

	memcpy(sock.own, offer->option, sizeof(sock.own));
	memcpy(sock.teps, offer->teps, sizeof(sock.teps));
	sock.mandatory_app_aware = offer->mandatory_app_aware;
	if (offer->resume_len)
		offer_resumption(&sock, offer);
	return opening_offer(e, fd, &sock) ? 0 : mark(e, fd, &sock);
}

int engine_mark_steered(struct engine *e, int fd)
{
	struct eno_sock sock = { .kind = ENO_SOCK_STEERED };

	return mark(e, fd, &sock);
}

int engine_mark_to_app(struct engine *e, int fd, const struct shared_endpoint *client,
		       uint64_t flow)
{
	struct eno_sock sock = { .kind = ENO_SOCK_TO_APP,
				 .client = { *client, 0, flow },
				 .flow = flow };

	int error = opening_offer(e, fd, &sock) ? 0 : mark(e, fd, &sock);

	/* Of these nothing is told. */
	engine_forget_opening(e, flow);
	return error;
}

bool engine_gave_up(struct engine *e, uint64_t cookie)
{
	return !bpf_map_delete_elem(bpf_map__fd(e->programs->maps.unheard), &cookie);
}

int engine_lead_to(struct engine *e, unsigned int slot, int fd, bool out, bool v6)
{
	uint32_t index = shared_listener(slot, out, v6);
	uint64_t value = fd;

	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.listeners), &index, &value,
				   BPF_ANY);
}

void engine_forget_to_app(struct engine *e, const struct shared_endpoint *local,
			  const struct shared_endpoint *server)
{
	struct shared_tuple key = { .local = *server, .remote = *local };

	bpf_map_delete_elem(bpf_map__fd(e->programs->maps.clients), &key);
}

int engine_eno(struct engine *e, int fd, struct eno_sock *ret)
{
	int error = bpf_map_lookup_elem(bpf_map__fd(e->programs->maps.eno_socks), &fd, ret);

	ret->resumed_slot = window_slot(&e->window, ret->resumed_slot);
	return error;
}

int engine_upstream(struct engine *e, int fd, uint64_t flow, struct eno_sock *ret)
{
	const uint64_t told = shared_opening_stage(flow, SHARED_OPENING_TOLD);
	struct shared_opening *o = &e->openings[shared_opening(flow)];

	if (__atomic_load_n(&o->stage, __ATOMIC_ACQUIRE) != told)
		return engine_eno(e, fd, ret);
	*ret = o->sock;
	stage_change(o, told, 0);
	return 0;
}

int engine_remember_plain(struct engine *e, const struct shared_endpoint *dst, unsigned int seconds,
			  bool grows)
{
	int fd = bpf_map__fd(e->programs->maps.plain_destinations);
	struct shared_plain plain = {};

	/* An entry whose time is over still tells how long it was. */
	if (!grows || bpf_map_lookup_elem(fd, dst, &plain))
		plain.seconds = 0;
	plain.seconds = expiry_next(plain.seconds, seconds);
	plain.until = now_ns() + plain.seconds * NS_PER_SECOND;
	if (!grows)
		plain.seconds = 0;
	return bpf_map_update_elem(fd, dst, &plain, BPF_ANY);
}

int engine_forget_one(struct engine *e, const struct shared_endpoint *dst)
{
	int fd = bpf_map__fd(e->programs->maps.plain_destinations);

	return bpf_map_delete_elem(fd, dst) && errno != ENOENT ? -errno : 0;
}

int engine_forget_plain(struct engine *e)
{
	int fd = bpf_map__fd(e->programs->maps.plain_destinations);
	struct shared_endpoint key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		if (bpf_map_delete_elem(fd, &key) && errno != ENOENT)
			return -errno;
	return 0;
}

/* Is the flow's place in "views" its own? */
static bool view_is_own(const struct shared_view *v, uint64_t flow)
{
	return __atomic_load_n(&v->owner, __ATOMIC_RELAXED) == flow;
}

static bool view_take(struct shared_view *v, uint64_t flow)
{
	uint64_t nobody = 0;

	return __atomic_compare_exchange_n(&v->owner, &nobody, flow, false, __ATOMIC_ACQUIRE,
					   __ATOMIC_RELAXED) ||
	       nobody == flow;
}

static void view_show(struct shared_view *v, const struct shared_session *session)
{
	const size_t rest = offsetof(struct shared_session, flow) + sizeof(session->flow);

	__atomic_store_n(&v->session.flow, 0, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	memcpy((uint8_t *)&v->session + rest, (const uint8_t *)session + rest,
	       sizeof(*session) - rest);
	__atomic_store_n(&v->session.flow, session->flow, __ATOMIC_RELEASE);
}

int engine_session_publish(struct engine *e, const struct shared_session *session)
{
	struct shared_view *v = &e->views[shared_view(session->flow)];

	if (view_take(v, session->flow)) {
		view_show(v, session);
		return 0;
	}
	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.sessions), &session->flow, session,
				   BPF_ANY);
}

void engine_session_withdraw(struct engine *e, uint64_t flow)
{
	struct shared_view *v = &e->views[shared_view(flow)];

	if (!view_is_own(v, flow)) {
		bpf_map_delete_elem(bpf_map__fd(e->programs->maps.sessions), &flow);
		return;
	}
	__atomic_store_n(&v->session.flow, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&v->owner, 0, __ATOMIC_RELEASE);
}

int engine_options_take(struct engine *e, uint64_t cookie, struct app_options *ret)
{
	const struct shared_told key = { .cookie = cookie, .type = SHARED_EVENT_OPTIONS };

	/* In this order: what comes in between is told again. */
	bpf_map_delete_elem(bpf_map__fd(e->programs->maps.told), &key);
	return bpf_map_lookup_elem(bpf_map__fd(e->programs->maps.changed_options), &cookie, ret);
}

bool engine_untold_next(struct engine *e, uint64_t *cookie, struct shared_flow_end *ret)
{
	int fd = bpf_map__fd(e->programs->maps.untold);

	/* One that another worker has taken meanwhile is passed over. */
	while (!bpf_map_get_next_key(fd, *cookie ? cookie : NULL, cookie))
		if (!bpf_map_lookup_elem(fd, cookie, ret))
			return true;
	return false;
}

void engine_untold_told(struct engine *e, uint64_t cookie)
{
	bpf_map_delete_elem(bpf_map__fd(e->programs->maps.untold), &cookie);
}

int engine_time_out(struct engine *e, uint64_t flow)
{
	uint8_t yes = 1;

	if (bpf_map_update_elem(bpf_map__fd(e->programs->maps.dying), &flow, &yes, BPF_ANY))
		return -errno;
	__atomic_store_n(&e->dying, true, __ATOMIC_RELEASE);
	return 0;
}

int engine_time_out_run(struct engine *e)
{
	char nothing[64];
	ssize_t n;
	int fd;

	if (!__atomic_exchange_n(&e->dying, false, __ATOMIC_ACQ_REL))
		return 0;
	fd = bpf_iter_create(bpf_link__fd(e->programs->links.tcpcrypt_time_out));
	if (fd < 0)
		return -errno;
	/* Reading is what makes it go through all sockets; the program writes nothing. */
	do
		n = read(fd, nothing, sizeof(nothing));
	while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	close(fd);
	return n < 0 ? -errno : 0;
}
