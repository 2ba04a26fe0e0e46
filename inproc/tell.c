// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/tell.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#include "inproc/negotiated.h"
#include "inproc/report.h"

static char comm[SHARED_COMM_LEN];

/* Early: threads have names of their own. */
__attribute__((constructor(104))) static void name_note(void)
{
	prctl(PR_GET_NAME, comm);
}

static double wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void counts_set(struct message *m, const struct tcpcrypt_session_info *info)
{
	m->bytes_in = info->app_bytes_in;
	m->bytes_out = info->app_bytes_out;
	m->rekeys = info->local_generation;
}

struct message tell_of(const struct conn *c, enum message_type type)
{
	struct message m = {
		.size = sizeof(m), .type = type, .silent = report_is_silent, .id = c->id
	};
	struct tcpcrypt_session_info info;

	m.outgoing = !c->passive;
	m.ends = c->ends;
	m.started = c->started;
	m.fresh = c->fresh ? MESSAGE_FRESH_UNKNOWN : MESSAGE_FRESH_NO_SESSION;
	memcpy(m.comm, comm, sizeof(m.comm));
	if (c->phase != CONN_OPEN)
		return m;
	tcpcrypt_session_info(c->session, &info);
	counts_set(&m, &info);
	m.role = info.role;
	m.tep = info.tep;
	m.aead = info.aead;
	m.resumed = info.resumed;
	if (info.session_id)
		memcpy(m.session_id, info.session_id, sizeof(m.session_id));
	return m;
}

/* 8548-3.5-18, 8548-3.5-27: what a later session may be resumed with. A resumed session's is known. */
static void next_take(struct conn *c, struct message *m)
{
	struct tcpcrypt_next_secret next;

	if (tcpcrypt_session_next_secret(c->session, &next))
		return;
	m->has_next = !m->resumed && !c->no_cache;
	if (m->has_next)
		memcpy(m->next, next.secret, sizeof(m->next));
	explicit_bzero(&next, sizeof(next));
}

void tell_established(struct conn *c)
{
	struct message m;

	c->started = wall();
	m = tell_of(c, MESSAGE_ESTABLISHED);
	next_take(c, &m);
	c->reported = true;
	report_put(&m);
	explicit_bzero(&m, sizeof(m));
}

static int32_t reason_of(const struct conn *c)
{
	if (c->cause)
		return c->cause;
	switch (c->error) {
	case 0:
		/* Without keys the program itself was fast. */
		return c->reported ? MESSAGE_NO_REASON : MESSAGE_LOCAL_RESET;
	case ECONNABORTED:
		return MESSAGE_LOCAL_RESET;
	case ETIMEDOUT:
		return MESSAGE_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
		return MESSAGE_UNREACHABLE;
	default:
		return MESSAGE_RESET;
	}
}

void tell_ended(struct conn *c)
{
	struct message m = tell_of(c, MESSAGE_ENDED);

	m.reason = reason_of(c);
	/* The ends do not have the same secrets: the next connection exchanges keys. */
	if (c->cause == TCPCRYPT_E_AUTH && m.resumed && !m.bytes_in)
		m.chain = c->chain;
	report_put(&m);
}

static int32_t plain_reason(const struct shared_inproc *inproc)
{
	struct tcpcrypt_eno_result result;

	switch ((enum eno_sock_reason)inproc->reason) {
	case ENO_SOCK_NO_ACK:
		return MESSAGE_NO_ACK;
	case ENO_SOCK_SYN_RETRIES:
		return MESSAGE_SYN_RETRIES;
	case ENO_SOCK_SYN_COOKIE:
		return MESSAGE_SYN_COOKIE;
	case ENO_SOCK_BY_OPTIONS:
		break;
	}
	if (!inproc->peer_len)
		return MESSAGE_BY_ENO + TCPCRYPT_ENO_NO_OPTION;
	if (!inproc->own_len)
		return MESSAGE_BY_ENO + TCPCRYPT_ENO_NO_COMMON_TEP;
	negotiated_decide(inproc, &result);
	return MESSAGE_BY_ENO + (result.reason ? result.reason : TCPCRYPT_ENO_NO_OPTION);
}

void tell_plain(const struct shared_inproc *inproc, bool refused)
{
	struct message m = { .size = sizeof(m),
			     .type = MESSAGE_PLAIN,
			     .silent = report_is_silent,
			     .outgoing = !inproc->passive,
			     .refused = refused,
			     .reason = plain_reason(inproc),
			     .ends = inproc->ends };

	/* Whom nobody offered anything is no news. */
	if (inproc->passive && !inproc->peer_len && !refused)
		return;
	memcpy(m.comm, comm, sizeof(m.comm));
	m.started = wall();
	report_put(&m);
}

void tell_proven(struct conn *c)
{
	struct message m = tell_of(c, MESSAGE_PROVEN);

	report_put(&m);
}
