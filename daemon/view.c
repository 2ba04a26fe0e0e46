// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/view.h"

#include <string.h>

#include "daemon/log.h"

_Static_assert(TCP_ENO_SESSID_LEN == TCPCRYPT_SESSION_ID_LEN, "one length of session IDs");
_Static_assert(TCP_ENO_TRANSCRIPT_MAX == TCPCRYPT_TRANSCRIPT_MAX, "one length of transcripts");
_Static_assert((int)TCP_ENO_REASON_NO_OPTION == (int)TCPCRYPT_ENO_NO_OPTION &&
		       (int)TCP_ENO_REASON_NO_COMMON_TEP == (int)TCPCRYPT_ENO_NO_COMMON_TEP,
	       "the reasons that the options tell have core's numbers");

/* A program that cannot read it gets ENOTCONN, which is no answer, but not a wrong one. */
static void publish(struct flow *f, enum tcp_eno_phase phase)
{
	f->view.flow = f->record.id;
	f->view.phase = phase;
	if (engine_session_publish(f->worker->engine, &f->view))
		log_warning("a connection's session cannot be shown to its program");
}

void view_negotiated(struct flow *f, const struct tcpcrypt_eno_result *result)
{
	struct shared_session *v = &f->view;

	v->tep_byte = result->tep_byte;
	v->peer_gopt = result->peer_global;
	v->transcript_len = result->transcript_len;
	memcpy(v->transcript, result->transcript, result->transcript_len);
}

void view_established(struct flow *f)
{
	struct shared_session *v = &f->view;
	const struct record *r = &f->record;

	v->name[0] = r->role;
	memcpy(v->name + 1, r->session_id, sizeof(r->session_id));
	v->aead[0] = r->aead >> 8;
	v->aead[1] = r->aead & 0xff;
	v->resumed = r->resumed;
	publish(f, TCP_ENO_ENCRYPTING);
}

static enum tcp_eno_reason reason_of(const struct eno_sock *eno,
				     const struct tcpcrypt_eno_result *result)
{
	switch ((enum eno_sock_reason)eno->reason) {
	case ENO_SOCK_NO_ACK:
		return TCP_ENO_REASON_NO_ACK;
	case ENO_SOCK_SYN_RETRIES:
		return TCP_ENO_REASON_SYN_RETRIES;
	case ENO_SOCK_SYN_COOKIE:
		return TCP_ENO_REASON_SYN_COOKIE;
	case ENO_SOCK_BY_OPTIONS:
		break;
	}
	return result->reason ? (enum tcp_eno_reason)result->reason : TCP_ENO_REASON_NO_OPTION;
}

void view_plain(struct flow *f, const struct eno_sock *eno,
		const struct tcpcrypt_eno_result *result)
{
	f->view.reason = reason_of(eno, result);
	publish(f, TCP_ENO_DISABLED);
}

void view_withdraw(struct flow *f)
{
	if (f->view.flow)
		engine_session_withdraw(f->worker->engine, f->view.flow);
}
