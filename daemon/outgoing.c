// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/outgoing.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/carry.h"
#include "daemon/container.h"
#include "daemon/log.h"
#include "daemon/negotiated.h"
#include "daemon/relay.h"
#include "daemon/resume.h"
#include "daemon/wish.h"
#include "engine/packet.h"

/* From release to accept(): a loopback round trip, but on a host that is overrun. When the program
 * gives up we are told; this is for the case that the word of it is lost. */
#define PROGRAM_SECONDS 120

/* A destination that the kernel refuses at once (no route, or one that says no) is left to it
 * for so long: a program that tries again gets the very error, and as fast. */
#define NO_ROUTE_SECONDS 10

/* The SYN of who gave up unheard may be in the ring still. */
#define UNHEARD_TICKS 5

/* How many held SYNs go on before what they bring is accepted, and in a turn of the loop. */
#define RELEASE_BATCH  16
#define RELEASE_BUDGET 256

static struct flow_list *bucket_of(struct worker *w, const struct shared_endpoint *program)
{
	uint32_t hash = program->port;

	for (size_t i = 0; i < sizeof(program->addr); i++)
		hash = hash * 31 + program->addr[i];
	return &w->held[hash % WORKER_HELD_BUCKETS];
}

/* By both ends: to different addresses of the loopback network programs may connect from the
 * same port. */
static struct flow *held_find(struct worker *w, const struct shared_tuple *program)
{
	struct flow *f;

	TAILQ_FOREACH (f, bucket_of(w, &program->local), held_entry)
		if (f->held && address_equal(&f->program.local, &program->local) &&
		    address_equal(&f->program.remote, &program->remote))
			return f;
	return NULL;
}

struct flow *outgoing_find(struct worker *w, const struct shared_endpoint *program, uint64_t cookie)
{
	struct flow *f;

	TAILQ_FOREACH (f, bucket_of(w, program), held_entry)
		if (f->syn.cookie == cookie)
			return f;
	return NULL;
}

struct flow *outgoing_find_cookie(struct worker *w, uint64_t cookie)
{
	struct flow *f;

	for (size_t i = 0; i < WORKER_HELD_BUCKETS; i++)
		TAILQ_FOREACH (f, &w->held[i], held_entry)
			if (f->syn.cookie == cookie)
				return f;
	return NULL;
}

static void release_cancel(struct flow *f)
{
	if (!f->releasing)
		return;
	f->releasing = false;
	TAILQ_REMOVE(&f->worker->releasing, f, release_entry);
}

void outgoing_forget(struct flow *f)
{
	if (!f->listed)
		return;
	release_cancel(f);
	if (f->connected)
		TAILQ_REMOVE(&f->worker->connected, f, release_entry);
	f->held = f->listed = f->connected = false;
	TAILQ_REMOVE(bucket_of(f->worker, &f->program.local), f, held_entry);
}

void outgoing_refuse(struct flow *f, int error)
{
	engine_refuse(f->worker->lane, &f->syn, error);
}

/* The program may have chosen its source address; then the SYN has it instead of loopback. */
static int source_bind(const struct flow *f, int fd)
{
	struct shared_endpoint source = f->program.local;
	struct sockaddr_storage ss;
	socklen_t len;
	int one = 1;

	if (address_is_loopback(&source))
		return 0;
	source.port = 0;
	len = address_to_sockaddr(&source, &ss);
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	return bind(fd, (struct sockaddr *)&ss, len) ? -errno : 0;
}

/* Opens the connection to the other host, as far as it goes without waiting. */
static int upstream_open(struct flow *f)
{
	struct worker *w = f->worker;
	struct sockaddr_storage ss;
	socklen_t len = address_to_sockaddr(&f->record.peer, &ss);
	uint32_t mark = f->syn.app.mark;
	struct engine_offer offer;
	int fd, error;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	error = wish_offer(w, &f->wishes, &offer);
	if (!error)
		resume_offer(f, &offer);
	if (!error)
		error = engine_mark_upstream(w->engine, fd, &offer, &f->syn, f->record.id);
	if (!error && mark && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)))
		error = -errno;
	if (!error)
		error = source_bind(f, fd);
	if (!error)
		carry_options(fd, &f->syn.app.options);
	/* 8547-4.7-3, 8547-4.7-4, 8547-4.7-13: no Fast Open, so the SYN has neither data nor
	 * cookie, whatever the program's own socket does. */
	if (!error && connect(fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return flow_adopt(f, &f->net, fd);
}

/* Did the SYN have no room for the option? Then the guard has kept it from leaving. */
static bool offers_nothing(const struct flow *f)
{
	struct eno_sock eno = {};

	return engine_eno(f->worker->engine, f->net.source.fd, &eno) ||
	       (eno.state == ENO_SOCK_DISABLED && !eno.own_len);
}

static const char *connect_reason(int error)
{
	switch (error) {
	case ECONNREFUSED:
		return "refused";
	case ETIMEDOUT:
		return "timeout";
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EACCES:
	case EINVAL: /* a black hole route */
		return "unreachable";
	case ECONNRESET:
		return "reset";
	default:
		return "daemon";
	}
}

static bool refused_by_route(int error)
{
	return error == ENETUNREACH || error == EHOSTUNREACH || error == EACCES || error == EINVAL;
}

static void upstream_failed(struct flow *f, int error)
{
	flow_abort(f, connect_reason(error), error);
}

/* Opens the connection to the other host, or ends the flow as connect() shall end. */
static void upstream_begin(struct flow *f)
{
	const struct shared_event *syn = &f->syn;
	struct worker *w = f->worker;
	int error = upstream_open(f);

	if (!error) {
		if (f->required && offers_nothing(f))
			flow_abort(f, "policy", ECONNREFUSED);
		return;
	}
	if (worker_is_exhausted(w, error)) {
		flow_abort(f, "exhausted", ETIMEDOUT);
		return;
	}
	/* A program that chose its source address, or a mark, may have chosen one that has no
	 * route: that says nothing about the destination, and must not keep others from
	 * encrypting. */
	if (address_is_loopback(&f->program.local) && !syn->app.mark && refused_by_route(-error))
		engine_remember_plain(w->engine, &f->record.peer, NO_ROUTE_SECONDS, false);
	upstream_failed(f, -error);
}

void outgoing_again(struct flow *f)
{
	resume_again(f);
	flow_close_net(f);
	/* Should the outcome have been read before it was told: what comes next has another. */
	engine_forget_opening(f->worker->engine, f->record.id);
	upstream_begin(f);
}

static void held_begin(struct worker *w, const struct shared_event *event)
{
	struct flow *f;

	/* Unanswered: the program repeats its SYN, and there may be room then. */
	if (worker_is_full(w))
		return;
	f = flow_new(w, true);
	if (!f) {
		worker_is_exhausted(w, -ENOMEM);
		return;
	}
	f->syn = *event;
	f->wishes = event->wishes;
	f->program = event->ends;
	carry_early(f);
	f->required = event->app.policy == POLICY_REQUIRE;
	f->record.peer = event->app.peer;
	f->record.pid = event->app.pid;
	f->record.uid = event->app.uid;
	memcpy(f->record.comm, event->app.comm, sizeof(f->record.comm));
	f->held = f->listed = true;
	TAILQ_INSERT_TAIL(bucket_of(w, &f->program.local), f, held_entry);
	upstream_begin(f);
}

/* Its turn comes at the end of this one of the loop's. */
static void release(struct flow *f)
{
	struct worker *w = f->worker;

	if (f->releasing)
		return;
	f->releasing = true;
	TAILQ_INSERT_TAIL(&w->releasing, f, release_entry);
	loop_queue(w->loop, &w->release);
}

static void release_now(struct flow *f)
{
	int error = engine_release(f->worker->lane, &f->syn);

	/* The program repeats its SYN, and that is another chance. */
	if (error)
		log_warning("a held SYN could not be released: %s", strerror(-error));
}

/* Each comes back through the listener, whose queue has room for some: where it had none for the
 * ACK of a handshake, the program would be reset. Over loopback they are there at once. */
static int release_some(struct worker *w)
{
	int n[2] = {}, sum = 0;
	struct flow *f;

	for (; sum < RELEASE_BATCH && (f = TAILQ_FIRST(&w->releasing)); sum++) {
		release_cancel(f);
		release_now(f);
		n[!address_is_v4(&f->program.local)]++;
	}
	for (int v6 = 0; v6 < 2; v6++)
		listener_take(&w->programs, v6, n[v6]);
	return sum;
}

static void release_turn(struct loop_work *work)
{
	struct worker *w = container_of(work, struct worker, release);
	int sum = 0;

	while (sum < RELEASE_BUDGET && !w->programs.resting && !TAILQ_EMPTY(&w->releasing))
		sum += release_some(w);
	if (sum >= RELEASE_BUDGET)
		loop_queue(w->loop, work);
}

void outgoing_init(struct worker *w)
{
	for (size_t i = 0; i < WORKER_HELD_BUCKETS; i++)
		TAILQ_INIT(&w->held[i]);
	TAILQ_INIT(&w->releasing);
	TAILQ_INIT(&w->connected);
	w->release.run = release_turn;
}

void outgoing_looked(struct worker *w)
{
	struct flow *f;

	while ((f = TAILQ_FIRST(&w->connected)))
		outgoing_forget(f);
}

void outgoing_resume(struct worker *w)
{
	if (!TAILQ_EMPTY(&w->releasing))
		loop_queue(w->loop, &w->release);
}

void outgoing_tick(struct worker *w)
{
	uint32_t unheard = engine_lane_unheard(w->lane);
	struct flow *f, *next;

	if (unheard != w->unheard)
		w->unheard_ticks = UNHEARD_TICKS;
	w->unheard = unheard;
	if (!w->unheard_ticks)
		return;
	w->unheard_ticks--;
	for (size_t i = 0; i < WORKER_HELD_BUCKETS; i++)
		for (f = TAILQ_FIRST(&w->held[i]); f; f = next) {
			next = TAILQ_NEXT(f, held_entry);
			if (!f->app.open && engine_gave_up(w->engine, f->syn.cookie))
				flow_abort(f, "local-reset", ETIMEDOUT);
		}
}

static void held_syn(struct worker *w, const struct shared_event *event)
{
	struct flow *f = outgoing_find(w, &event->ends.local, event->cookie);
	struct flow *before = held_find(w, &event->ends);

	/* The port has a new owner: the old one gave up. */
	if (before && before != f)
		flow_abort(before, "local-reset", ECONNRESET);
	if (!f)
		held_begin(w, event);
	/* Otherwise it was sent again, before it was answered. */
	else if (f->held && f->state == FLOW_EXPECT_PROGRAM)
		release(f);
}

/* The program closed its socket, or its own timer ended, before the other host answered. */
static void gave_up(struct worker *w, const struct shared_event *event)
{
	struct flow *f = outgoing_find(w, &event->app.local, event->cookie);

	if (f && !f->app.open)
		flow_abort(f, "local-reset", ETIMEDOUT);
}

/* A connection that the programs let pass, because the destination is known as plain. */
static void remembered(struct worker *w, const struct shared_event *event)
{
	struct record r = { .outgoing = true,
			    .peer = event->app.peer,
			    .pid = event->app.pid,
			    .uid = event->app.uid };

	memcpy(r.comm, event->app.comm, sizeof(r.comm));
	ledger_begin(w->ledger, &r);
	ledger_plain(w->ledger, &r, "remembered");
	ledger_end(w->ledger, &r, NULL);
}

void outgoing_event(struct worker *w, const struct shared_event *event)
{
	if (event->type == SHARED_EVENT_HELD_SYN)
		held_syn(w, event);
	else if (event->type == SHARED_EVENT_GAVE_UP)
		gave_up(w, event);
	else
		remembered(w, event);
}

/* getpeername() would not do: in a simultaneous open it answers before the last segment. */
static int tcp_state(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ? TCP_CLOSE : info.tcpi_state;
}

void outgoing_upstream_ready(struct flow *f)
{
	socklen_t len = sizeof(int);
	int error = 0, state;

	if (!f->net.connected && !f->net.ending)
		return;
	state = f->net.connected ? TCP_ESTABLISHED : tcp_state(f->net.source.fd);
	if (state == TCP_SYN_SENT || state == TCP_SYN_RECV)
		return;
	if (state == TCP_CLOSE)
		getsockopt(f->net.source.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	/* It was made and has ended since the loop's last turn: the program gets what came meanwhile. */
	if (relay_is_broken(error)) {
		f->net.connected = true;
		f->net.broken = error;
	} else if (error) {
		upstream_failed(f, error);
		return;
	}
	f->net.open = true;
	if (flow_negotiated(f))
		return;
	flow_set_deadline(f, PROGRAM_SECONDS);
	flow_set_state(f, FLOW_EXPECT_PROGRAM);
	release(f);
	flow_progress(f);
}

void outgoing_accepted(struct worker *w, int fd, const struct shared_tuple *program)
{
	struct flow *f = held_find(w, program);

	if (!f || f->state != FLOW_EXPECT_PROGRAM) {
		/* No open doors: only what was steered here is served. */
		flow_refuse(fd);
		return;
	}
	release_cancel(f);
	f->held = false;
	f->connected = true;
	TAILQ_INSERT_TAIL(&w->connected, f, release_entry);
	if (flow_adopt(f, &f->app, fd)) {
		flow_abort(f, "daemon", ECONNRESET);
		return;
	}
	f->app.open = true;
	flow_set_deadline(f, f->session && !f->established ? FLOW_KEY_EXCHANGE_SECONDS : 0);
	flow_set_state(f, FLOW_RELAYING);
	flow_progress(f);
}
