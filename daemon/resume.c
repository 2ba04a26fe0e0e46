// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/resume.h"

#include <string.h>

#include "daemon/nonces.h"
#include "daemon/wish.h"

/* Of a connection's reasons not to be resumed, those that the cache does not give. */
#define OFF	   "off"
#define UNWANTED   "unwanted"
#define NO_ROOM	   "no-room"
#define UNKNOWN	   "unknown-session"
#define NO_SESSION "no-session"

static const uint8_t *half(const struct tcpcrypt_eno_resume *name, enum tcpcrypt_role role)
{
	return name->identifier + (role == TCPCRYPT_ROLE_A ? 0 : SHARED_HALF_LEN);
}

/* 8548-3.5-16: the TEP's suboption alone; 8548-3.5-2: a random nonce. */
static int offer_make(const struct flow *f, struct tcpcrypt_eno_settings *settings,
		      struct tcpcrypt_eno_resume *name, struct engine_offer *offer)
{
	bool was_a = name->original_role == TCPCRYPT_ROLE_A;
	int error;

	/* 8548-3.5-1, 8548-3.5-3: 8 bytes unless the program or the room has it otherwise. */
	name->nonce_len = wish_nonce_len(&f->wishes);
	error = nonces_take(&f->worker->nonces, f->worker->crypto, name->nonce, name->nonce_len);
	if (error)
		return error;
	settings->resume = name;
	settings->teps = &name->tep;
	settings->n_teps = 1;
	offer->nonce_len = name->nonce_len;
	offer->peer_half.tep = name->tep;
	memcpy(offer->peer_half.bytes, half(name, was_a ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A),
	       sizeof(offer->peer_half.bytes));
	return tcpcrypt_eno_offer(settings, offer->resume, &offer->resume_len);
}

void resume_offer(struct flow *f, struct engine_offer *offer)
{
	struct worker *w = f->worker;
	uint8_t teps[SHARED_TEPS_MAX];
	uint16_t aeads[TCPCRYPT_AEADS_MAX];
	struct tcpcrypt_eno_settings settings = wish_settings(w->config, &f->wishes,
							      TCPCRYPT_ENO_ACTIVE, teps);
	const struct resumption_wanted wanted = {
		.teps = teps,
		.n_teps = settings.n_teps,
		.aeads = aeads,
		.n_aeads = wish_aeads(w->config, &f->wishes, TCPCRYPT_ROLE_A, aeads),
	};
	struct tcpcrypt_eno_resume name;

	if (f->record.not_resumed)
		return; /* this is the second offer */
	/* 8548-3.5-27. Who asks for the passive opener's role gets no answer from one. */
	if (f->wishes.cache_flush || settings.global & TCPCRYPT_ENO_GLOBAL_B)
		f->record.not_resumed = UNWANTED;
	else
		f->record.not_resumed = resumption_propose(w->resumption, &f->record.peer, &wanted,
							   loop_now(w->loop), &name, &f->ticket,
							   &f->chain);
	if (f->record.not_resumed || !offer_make(f, &settings, &name, offer))
		return;
	offer->resume_len = 0;
	resume_release(f);
}

bool resume_name(const struct flow *f, struct tcpcrypt_eno_resume *ret)
{
	return f->ticket.token && resumption_name(f->worker->resumption, &f->ticket, ret);
}

bool resume_take(struct flow *f, const struct tcpcrypt_eno_result *result,
		 struct tcpcrypt_resumption *ret)
{
	struct resumption_ticket ticket = f->ticket;

	memset(&f->ticket, 0, sizeof(f->ticket));
	if (!resumption_take(f->worker->resumption, &ticket, &f->record.peer, ret, &f->chain))
		return false;
	memcpy(ret->nonces, result->nonces, sizeof(ret->nonces));
	ret->nonces_len = result->nonces_len;
	return true;
}

static const char *why_fresh(const struct flow *f, const struct eno_sock *eno,
			     const struct tcpcrypt_eno_result *result)
{
	const struct config *c = f->worker->config;

	if (f->record.outgoing)
		return eno->peer_half.tep ? UNKNOWN : NO_ROOM;
	if (!c->resume_seconds || !c->resume_max)
		return OFF;
	if (f->wishes.cache_flush)
		return UNWANTED;
	if (f->ticket.token)
		return NO_ROOM;
	return result->resumption_offered ? UNKNOWN : NO_SESSION;
}

void resume_not(struct flow *f, const struct eno_sock *eno,
		const struct tcpcrypt_eno_result *result)
{
	if (!f->record.not_resumed)
		f->record.not_resumed = why_fresh(f, eno, result);
	/* 8548-3.5-8: the passive end has asked for a fresh exchange instead. */
	if (f->record.outgoing && eno->peer_half.tep) {
		resumption_miss(f->worker->resumption, &f->ticket);
		memset(&f->ticket, 0, sizeof(f->ticket));
	} else {
		resume_release(f);
	}
}

void resume_keep(struct flow *f)
{
	struct worker *w = f->worker;
	struct tcpcrypt_next_secret next;

	/* A resumed session's chain has it already. */
	if (tcpcrypt_session_next_secret(f->session, &next))
		return;
	/* 8548-3.5-18, 8548-3.5-27 */
	if (!f->record.resumed && !f->wishes.cache_flush)
		resumption_store(w->resumption, &next, &f->record.peer, loop_now(w->loop),
				 &f->chain);
	explicit_bzero(&next, sizeof(next));
}

void resume_forget(struct flow *f)
{
	resumption_forget(f->worker->resumption, &f->chain);
}

void resume_again(struct flow *f)
{
	resume_forget(f);
	resume_release(f);
	f->record.not_resumed = UNKNOWN;
}

void resume_release(struct flow *f)
{
	if (f->ticket.token)
		resumption_drop(f->worker->resumption, &f->ticket);
	memset(&f->ticket, 0, sizeof(f->ticket));
}
