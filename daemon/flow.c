// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/flow.h"

#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/container.h"
#include "daemon/incoming.h"
#include "daemon/log.h"
#include "daemon/outgoing.h"
#include "daemon/relay.h"
#include "daemon/resume.h"
#include "daemon/view.h"

/* For a program's TCP to give up, once it has been told to: a tick, two probes a second apart; or a
 * retransmission. */
#define TIME_OUT_SECONDS 10

static void flow_again(struct loop_work *work)
{
	struct flow *f = container_of(work, struct flow, again);

	flow_progress(f);
}

static void end_ready(struct loop_source *source, uint32_t events)
{
	struct flow_end *end = container_of(source, struct flow_end, source);

	if ((events & (EPOLLERR | EPOLLHUP)) == (EPOLLERR | EPOLLHUP))
		end->hung = true;
	if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
		end->ending = true;
	if ((events & (EPOLLERR | EPOLLRDHUP)) == EPOLLRDHUP)
		end->finished = true;
	if (events & EPOLLIN || end->ending)
		end->readable = true;
	if (events & EPOLLPRI)
		end->urgent = true;
	if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == EPOLLOUT)
		end->connected = true;
	flow_progress(end->flow);
}

static void end_init(struct flow_end *end, struct flow *f)
{
	end->flow = f;
	end->source.fd = -1;
	end->source.handler = end_ready;
}

static struct flow_list *bucket_of(struct worker *w, uint64_t id)
{
	return &w->by_id[id / SHARED_SLOTS % WORKER_ID_BUCKETS];
}

struct flow *flow_new(struct worker *w, bool outgoing)
{
	struct flow *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->worker = w;
	f->again.run = flow_again;
	f->plain_in.pipe = PIPE_NONE;
	f->plain_out.pipe = PIPE_NONE;
	end_init(&f->net, f);
	end_init(&f->app, f);
	f->record.outgoing = outgoing;
	f->record.uid = SHARED_UID_UNKNOWN;
	flow_set_state(f, outgoing ? FLOW_EXPECT_UPSTREAM : FLOW_EXPECT_SERVER);
	TAILQ_INSERT_TAIL(&w->flows, f, all_entry);
	worker_count_flow(w, 1);
	ledger_begin(w->ledger, &f->record);
	TAILQ_INSERT_TAIL(bucket_of(w, f->record.id), f, id_entry);
	return f;
}

void flow_set_state(struct flow *f, enum flow_state state)
{
	static const char *const names[] = {
		[FLOW_EXPECT_UPSTREAM] = "expect-upstream",
		[FLOW_EXPECT_PROGRAM] = "expect-program",
		[FLOW_EXPECT_SERVER] = "expect-server",
		[FLOW_RELAYING] = "relaying",
		[FLOW_TIMING_OUT] = "timing-out",
		[FLOW_ENDED] = "ended",
	};

	log_debug("flow %llu: %s -> %s", (unsigned long long)f->record.id, names[f->state],
		  names[state]);
	f->state = state;
}

void flow_set_deadline(struct flow *f, double seconds)
{
	if (f->waiting)
		TAILQ_REMOVE(&f->worker->waiting, f, waiting_entry);
	f->waiting = seconds > 0;
	f->deadline = loop_now(f->worker->loop) + seconds;
	if (f->waiting)
		TAILQ_INSERT_TAIL(&f->worker->waiting, f, waiting_entry);
}

/* What close() means: RST, or an orderly end. */
static void close_resets(int fd, bool reset)
{
	struct linger linger = { .l_onoff = reset, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

void flow_close_resets(struct flow_end *end, bool reset)
{
	if (end->resets != reset)
		close_resets(end->source.fd, reset);
	end->resets = reset;
}

void flow_refuse(int fd)
{
	close_resets(fd, true);
	close(fd);
}

void flow_prepare_app(int fd)
{
	close_resets(fd, true);
}

int flow_adopt(struct flow *f, struct flow_end *end, int fd)
{
	int error;

	end->source.fd = fd;
	end->resets = end == &f->app;
	error = loop_add(f->worker->loop, &end->source,
			 EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	if (error) {
		flow_refuse(fd);
		end->source.fd = -1;
	}
	return error;
}

static void end_close(struct flow *f, struct flow_end *end, bool reset)
{
	if (end->source.fd < 0)
		return;
	flow_close_resets(end, reset);
	loop_close(f->worker->loop, &end->source);
	end->open = false;
}

void flow_close_net(struct flow *f)
{
	end_close(f, &f->net, true);
	memset(&f->net, 0, sizeof(f->net));
	end_init(&f->net, f);
}

static void flow_free(struct flow *f, bool reset, const char *failed_reason)
{
	struct worker *w = f->worker;

	flow_record_update(f);
	flow_set_state(f, FLOW_ENDED);
	flow_set_deadline(f, 0);
	loop_unqueue(w->loop, &f->again);
	outgoing_forget(f);
	incoming_forget(f);
	end_close(f, &f->net, reset);
	end_close(f, &f->app, reset);
	if (f->record.outgoing)
		engine_forget_opening(w->engine, f->record.id);
	relay_release(f);
	resume_release(f);
	/* 8547-5-8: no secret outlives its connection. */
	tcpcrypt_session_free(f->session);
	view_withdraw(f);
	TAILQ_REMOVE(bucket_of(w, f->record.id), f, id_entry);
	TAILQ_REMOVE(&w->flows, f, all_entry);
	if (f->plain)
		worker_count_plain(w, -1);
	worker_count_flow(w, -1);
	ledger_end(w->ledger, &f->record, failed_reason);
	explicit_bzero(f, sizeof(*f));
	free(f);
}

void flow_finish(struct flow *f)
{
	flow_free(f, false, NULL);
}

/* The backend of the cryptography fails by itself only when it gets no memory. */
static void note_exhausted(struct flow *f, const char *reason)
{
	if (!strcmp(reason, tcpcrypt_error_name(TCPCRYPT_E_NOMEM)) ||
	    !strcmp(reason, tcpcrypt_error_name(TCPCRYPT_E_CRYPTO)))
		worker_is_exhausted(f->worker, -ENOMEM);
}

void flow_abort(struct flow *f, const char *reason, int error)
{
	char peer[ADDRESS_TEXT_MAX];

	address_format(&f->record.peer, peer);
	log_info("connection %s %s failed: %s", f->record.outgoing ? "to" : "from", peer, reason);
	note_exhausted(f, reason);
	if (f->held)
		outgoing_refuse(f, error);
	flow_free(f, true, reason);
}

/* From now on nothing that arrives is heard. What has arrived is thrown away: a program that waits
 * for room then sends, and finds out sooner. */
static int deafen(int fd)
{
	struct sock_filter nothing[] = { BPF_STMT(BPF_RET | BPF_K, 0) };
	const struct sock_fprog program = { .len = 1, .filter = nothing };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return -errno;
	while (recv(fd, NULL, SIZE_MAX >> 1, MSG_TRUNC) > 0)
		;
	return 0;
}

void flow_time_out(struct flow *f)
{
	if (!f->app.open || f->app.gone || deafen(f->app.source.fd) ||
	    engine_time_out(f->worker->engine, f->record.id)) {
		flow_abort(f, "timeout", ETIMEDOUT);
		return;
	}
	f->gone_reason = "timeout";
	end_close(f, &f->net, true);
	flow_set_deadline(f, TIME_OUT_SECONDS);
	flow_set_state(f, FLOW_TIMING_OUT);
}

void flow_record_update(struct flow *f)
{
	struct tcpcrypt_session_info info;
	struct record *r = &f->record;

	if (!f->session)
		return;
	tcpcrypt_session_info(f->session, &info);
	r->role = info.role;
	r->tep = info.tep;
	r->aead = info.aead;
	r->resumed = info.resumed;
	r->rekeys = info.local_generation;
	r->bytes_in = info.app_bytes_in;
	r->bytes_out = info.app_bytes_out;
	if (info.session_id) {
		memcpy(r->session_id, info.session_id, sizeof(r->session_id));
		r->has_session_id = true;
	}
}

void flow_established(struct flow *f)
{
	f->established = true;
	liveness_begin(f);
	/* Before that the deadline is the program's or the server's. */
	if (f->state == FLOW_RELAYING)
		flow_set_deadline(f, 0);
	flow_record_update(f);
	resume_keep(f);
	/* Before the program is given the first byte. */
	view_established(f);
	ledger_established(f->worker->ledger, &f->record);
}

/* The other host talks plain although its SYN-ACK had ENO: something on the way takes the
 * option out of our ACKs only. This connection is lost (8547-4.6-8), the next need not be. */
static void remember_stripped_ack(struct flow *f, const char *reason)
{
	const char *bad_magic = tcpcrypt_error_name(TCPCRYPT_E_BAD_MAGIC);

	if (f->record.outgoing && f->session && !f->established && !strcmp(reason, bad_magic))
		engine_remember_plain(f->worker->engine, &f->record.peer,
				      f->worker->config->remember_plain_seconds, false);
}

/* Frames of a resumed session that cannot be read from the first on: whatever is wrong, the next
 * connection shall not repeat it. */
static void forget_useless(struct flow *f, const char *reason)
{
	struct tcpcrypt_session_info info;

	if (!f->session || !f->record.resumed ||
	    (strcmp(reason, tcpcrypt_error_name(TCPCRYPT_E_AUTH)) &&
	     strcmp(reason, tcpcrypt_error_name(TCPCRYPT_E_BAD_FRAME))))
		return;
	tcpcrypt_session_info(f->session, &info);
	if (!info.app_bytes_in && !info.remote_generation)
		resume_forget(f);
}

static void relay(struct flow *f)
{
	struct relay_outcome outcome = {};
	int ret;

	ret = f->session ? relay_encrypted(f, &outcome) : relay_plain(f, &outcome);
	/* 8548-8-1: the program gets an end of file or ECONNRESET, never one for the other. */
	if (ret < 0 && f->net.gone && !strcmp(outcome.reason, "timeout")) {
		flow_time_out(f);
	} else if (ret < 0) {
		remember_stripped_ack(f, outcome.reason);
		forget_useless(f, outcome.reason);
		flow_abort(f, outcome.reason, ECONNRESET);
	} else if (ret == RELAY_DONE) {
		flow_finish(f);
	} else if (outcome.again) {
		loop_queue(f->worker->loop, &f->again);
	}
}

void flow_progress(struct flow *f)
{
	switch (f->state) {
	case FLOW_EXPECT_UPSTREAM:
		outgoing_upstream_ready(f);
		break;
	case FLOW_EXPECT_SERVER:
		if (!f->app.open && incoming_server_ready(f))
			break;
		relay(f);
		break;
	case FLOW_EXPECT_PROGRAM:
		/* Plain bytes wait; an encrypted flow agrees on keys meanwhile. */
		if (f->session)
			relay(f);
		break;
	case FLOW_RELAYING:
		relay(f);
		break;
	case FLOW_TIMING_OUT:
	case FLOW_ENDED:
		break;
	}
}

/* 8548-3.9-1: the way to ask whether the other end lives. */
int flow_rekey(struct flow *f)
{
	int outcome;

	/* After FINp there is no frame that could carry it. */
	if (!f->session || !f->established || !tcpcrypt_session_can_send(f->session))
		return TCPCRYPT_E_STATE;
	outcome = tcpcrypt_session_rekey(f->session);
	if (!outcome)
		loop_queue(f->worker->loop, &f->again);
	return outcome;
}

struct flow *flow_find_id(struct worker *w, uint64_t id)
{
	struct flow *f;

	TAILQ_FOREACH (f, bucket_of(w, id), id_entry)
		if (f->record.id == id)
			return f;
	return NULL;
}

struct flow *flow_find(struct worker *w, const struct shared_endpoint *local,
		       const struct shared_endpoint *peer)
{
	struct flow *f;

	TAILQ_FOREACH (f, &w->flows, all_entry)
		if (address_equal(&f->record.local, local) && address_equal(&f->record.peer, peer))
			return f;
	return NULL;
}
