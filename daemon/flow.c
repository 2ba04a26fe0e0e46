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
#include "daemon/keylog.h"
#include "daemon/log.h"
#include "daemon/outgoing.h"
#include "daemon/relay.h"
#include "daemon/resume.h"
#include "daemon/view.h"
#include "daemon/wish.h"

/* For a program's TCP to give up, once it has been told to: a tick, two probes a second apart; or a
 * retransmission. */
#define TIME_OUT_SECONDS 10

#define PENDING_TURNS 1000

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

static void end_close_resets(struct flow_end *end, bool reset)
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
	end_close_resets(end, reset);
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

/* Why the socket is plain: the programs know some reasons, the two options tell the rest. */
static const char *plain_reason(const struct eno_sock *eno,
				const struct tcpcrypt_eno_result *result)
{
	switch ((enum eno_sock_reason)eno->reason) {
	case ENO_SOCK_NO_ACK:
		return tcpcrypt_eno_reason_name(TCPCRYPT_ENO_NO_ACK);
	case ENO_SOCK_SYN_RETRIES:
		return tcpcrypt_eno_reason_name(TCPCRYPT_ENO_SYN_RETRIES);
	case ENO_SOCK_SYN_COOKIE:
		return tcpcrypt_eno_reason_name(TCPCRYPT_ENO_SYN_COOKIE);
	case ENO_SOCK_BY_OPTIONS:
		break;
	}
	/* The programs saw something that user space does not: never on our own account. */
	if (result->reason == TCPCRYPT_ENO_OK)
		return tcpcrypt_eno_reason_name(TCPCRYPT_ENO_NO_OPTION);
	return tcpcrypt_eno_reason_name(result->reason);
}

static void log_keys(void *data, const struct tcpcrypt_keylog *secrets)
{
	struct flow *f = data;

	/* It may have been switched off since the session began. */
	if (f->worker->keylog_fd >= 0)
		keylog_write(f->worker->keylog_fd, &f->record.local, &f->record.peer, secrets);
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

/* resume: NULL, or with these secrets there is no key exchange. */
static int session_open(struct flow *f, const struct tcpcrypt_eno_result *result,
			const struct tcpcrypt_resumption *resume)
{
	const struct config *c = f->worker->config;
	uint16_t aeads[TCPCRYPT_AEADS_MAX];
	const struct tcpcrypt_session_params params = {
		.size = sizeof(params),
		.crypto = f->worker->crypto,
		.role = result->role,
		.tep_byte = result->tep_byte,
		.transcript = result->transcript,
		.transcript_len = result->transcript_len,
		.aeads = aeads,
		.n_aeads = wish_aeads(c, &f->wishes, result->role, aeads),
		.rekey_bytes = c->rekey_bytes,
		.resume = resume,
		/* 8548-3.3-3: made ahead, or NULL for one that is made now; for this session only. */
		.keypair = resume ? NULL : worker_keypair(f->worker, result->tep_byte),
		.keylog = f->worker->keylog_fd < 0 ? NULL : log_keys,
		.keylog_data = f,
	};
	int error = 0;

	view_negotiated(f, result);
	f->session = tcpcrypt_session_new(&params, &error);
	if (!f->session)
		return error ? error : TCPCRYPT_E_NOMEM;
	flow_record_update(f);
	if (resume)
		flow_established(f);
	else
		flow_set_deadline(f, FLOW_KEY_EXCHANGE_SECONDS);
	return 0;
}

static int session_start(struct flow *f, const struct eno_sock *eno,
			 const struct tcpcrypt_eno_result *result)
{
	struct tcpcrypt_resumption resume;
	int error;

	/* 8548-3.5-13: with the cached secret, or not at all. */
	if (result->resumed) {
		if (!resume_take(f, result, &resume))
			return TCPCRYPT_E_STATE;
		error = session_open(f, result, &resume);
		explicit_bzero(&resume, sizeof(resume));
		return error;
	}
	resume_not(f, eno, result);
	return session_open(f, result, NULL);
}

static void negotiate(const struct flow *f, const struct eno_sock *eno,
		      struct tcpcrypt_eno_result *ret)
{
	/* What was enabled when the option was made stands in the option itself. */
	static const uint8_t implemented[] = { TCPCRYPT_TEP_X25519, TCPCRYPT_TEP_P256,
					       TCPCRYPT_TEP_X448, TCPCRYPT_TEP_P521 };
	struct tcpcrypt_eno_resume name;
	const struct tcpcrypt_eno_settings settings = {
		.opener = f->record.outgoing ? TCPCRYPT_ENO_ACTIVE : TCPCRYPT_ENO_PASSIVE,
		.teps = implemented,
		.n_teps = sizeof(implemented),
		.mandatory_app_aware = f->wishes.aa_mandatory,
		.resume = resume_name(f, &name) ? &name : NULL,
	};

	tcpcrypt_eno_negotiate(&settings, eno->own_len ? eno->own : NULL, eno->own_len,
			       eno->peer_len ? eno->peer : NULL, eno->peer_len, ret);
}

/* Why the programs answered a SYN without an option. */
static enum tcpcrypt_eno_reason refusal(const struct flow *f, const struct eno_sock *eno)
{
	uint8_t teps[SHARED_TEPS_MAX], option[TCPCRYPT_ENO_OPTION_MAX];
	const struct tcpcrypt_eno_settings settings = wish_settings(f->worker->config, &f->wishes,
								    TCPCRYPT_ENO_PASSIVE, teps);
	enum tcpcrypt_eno_reason reason = TCPCRYPT_ENO_NO_OPTION;
	const struct tcpcrypt_eno_resume *hit;
	size_t len;

	if (tcpcrypt_eno_answer(&settings, eno->peer, eno->peer_len, NULL, 0, option, &len, &reason,
				&hit))
		return TCPCRYPT_ENO_NO_OPTION;
	return reason;
}

/* Is a negotiation that failed by the program's own wishes no fault of the destination? */
static bool by_wish(const struct flow *f, const struct tcpcrypt_eno_result *result)
{
	return f->wishes.teps.set || f->wishes.self_gopt & TCPCRYPT_ENO_GLOBAL_B ||
	       result->reason == TCPCRYPT_ENO_NOT_APP_AWARE;
}

/* Policy requires encryption, and there is none: not a byte goes either way. */
static void refuse_plain(struct flow *f, const char *why)
{
	char peer[ADDRESS_TEXT_MAX];

	address_format(&f->record.peer, peer);
	log_warning("connection %s %s refused: policy requires encryption, but there is none: %s",
		    f->record.outgoing ? "to" : "from", peer, why);
	f->record.reason = why;
	flow_abort(f, "policy", ECONNREFUSED);
}

static int plain(struct flow *f, const struct eno_sock *eno,
		 const struct tcpcrypt_eno_result *result)
{
	/* An offer to resume has one TEP only, which the other host may not use any more: the next
	 * offer is the whole one. Who wants no plain connection makes it at once. */
	if (eno->peer_half.tep && eno->reason == ENO_SOCK_BY_OPTIONS) {
		if (f->required || f->wishes.tep_mandatory) {
			outgoing_again(f);
			return -EAGAIN;
		}
		resume_forget(f);
	} else if (f->record.outgoing && !by_wish(f, result)) {
		engine_remember_plain(f->worker->engine, &f->record.peer,
				      f->worker->config->remember_plain_seconds,
				      eno->reason == ENO_SOCK_SYN_RETRIES);
	}
	if (f->required) {
		refuse_plain(f, plain_reason(eno, result));
		return -ECONNREFUSED;
	}
	f->plain = true;
	end_close_resets(&f->net, true);
	worker_count_plain(f->worker, 1);
	ledger_plain(f->worker->ledger, &f->record, plain_reason(eno, result));
	if (f->wishes.tep_mandatory) {
		flow_abort(f, "tep-mandatory", ECONNREFUSED);
		return -ECONNREFUSED;
	}
	view_plain(f, eno, result);
	return 0;
}

/* What the programs have for the connection to the other host. */
static int recorded(const struct flow *f, struct eno_sock *ret)
{
	struct engine *e = f->worker->engine;
	int fd = f->net.source.fd;

	return f->record.outgoing ? engine_upstream(e, fd, f->record.id, ret)
				  : engine_eno(e, fd, ret);
}

/* On another CPU the kernel may be between the connection's state, which epoll tells of, and the programs:
 * asked again in the loop's next turns, for so many. */
static bool is_just_deciding(struct flow *f)
{
	if (f->record.outgoing)
		f->asked++;
	return f->asked && f->asked <= PENDING_TURNS;
}

int flow_negotiated(struct flow *f)
{
	struct tcpcrypt_eno_result result = { .reason = TCPCRYPT_ENO_NO_OPTION };
	struct eno_sock eno = {};
	int error;

	if (recorded(f, &eno) || (eno.state == ENO_SOCK_PENDING && !is_just_deciding(f))) {
		/* Not knowing is no licence for plain text (8547-4.6-8, 8547-4.6-9). */
		flow_abort(f, "daemon", ECONNRESET);
		return -EIO;
	}
	if (eno.state == ENO_SOCK_PENDING) {
		loop_queue(f->worker->loop, &f->again);
		return -EAGAIN;
	}
	if (f->record.outgoing) {
		f->record.local = eno.client.end;
	} else {
		f->wishes = eno.wishes;
		f->record.uid = eno.uid;
		f->ticket = (struct resumption_ticket){ eno.resumed_slot, eno.resumed_token };
	}
	negotiate(f, &eno, &result);
	/* 8547-4.6-7, 8548-3.2-5: from here on only the session's bytes reach this socket. */
	if (eno.state == ENO_SOCK_ENABLED) {
		error = result.reason == TCPCRYPT_ENO_OK ? session_start(f, &eno, &result)
							 : TCPCRYPT_E_STATE;
		if (error)
			flow_abort(f, tcpcrypt_error_name(error), ECONNRESET);
		else if (f->record.outgoing && f->syn.app.remembered)
			engine_forget_one(f->worker->engine, &f->record.peer);
		return error;
	}
	if (!f->record.outgoing && !eno.own_len)
		result.reason = refusal(f, &eno);
	return plain(f, &eno, &result);
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
