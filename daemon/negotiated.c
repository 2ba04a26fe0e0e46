// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/negotiated.h"

#include <errno.h>
#include <string.h>

#include "daemon/address.h"
#include "daemon/keylog.h"
#include "daemon/log.h"
#include "daemon/outgoing.h"
#include "daemon/resume.h"
#include "daemon/view.h"
#include "daemon/wish.h"

#define PENDING_TURNS 1000

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
	flow_close_resets(&f->net, true);
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
	if (f->record.outgoing && !f->net.broken)
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
