// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/refusal.h"

#include <string.h>

#include "daemon/address.h"
#include "daemon/container.h"
#include "daemon/log.h"

/* Whoever is refused may try again as fast as it likes. */
#define LINES_A_SECOND 10

static const char *why_words(uint32_t why)
{
	switch ((enum shared_left_alone)why) {
	case SHARED_NO_DAEMON:
		return "tcpcryptd was not running";
	case SHARED_DAEMON_PAUSED:
		return "tcpcryptd takes no connections: at its limits, about to end, or "
		       "--engine-only";
	case SHARED_DAEMON_HANGS:
		return "tcpcryptd had been stopped or hung";
	case SHARED_TIED:
		return "the socket is bound to a device, a port, loopback, or an address that "
		       "is not this host's";
	case SHARED_NO_LOOPBACK:
		return "loopback does not serve that family now";
	case SHARED_SIGNED:
		return "the socket has keys for TCP MD5 or TCP-AO";
	case SHARED_MULTIPATH:
		return "it is a part of a Multipath TCP connection";
	case SHARED_NEAR_ONLY:
		return "the socket limits from how far away packets may come";
	case SHARED_IP_OPTIONS:
		return "the socket sends IP options or extension headers";
	case SHARED_LINK_LOCAL:
		return "the address is link-local";
	case SHARED_WISH:
		return "the program itself switched encryption off";
	case SHARED_RAW:
		return "the program brings an encryption of its own";
	case SHARED_NO_MEMORY:
		return "the kernel has no memory";
	case SHARED_WITHOUT_ENO:
		return "the other host did not offer to encrypt";
	case SHARED_UNSERVABLE:
		return "only the server itself could answer: it is bound to a device, or has a "
		       "mark, "
		       "signatures or hop limits of its own";
	case SHARED_QUEUE_FULL:
		return "the server's queue is full";
	case SHARED_NOT_LEFT_ALONE:
	case SHARED_BY_CHOICE:
		break;
	}
	return "unknown";
}

static void log_refusal(struct refusals *r, const struct shared_refusal *refusal)
{
	double now = loop_now(r->worker->loop);
	char remote[ADDRESS_TEXT_MAX];

	if (now - r->logged_since >= 1) {
		if (r->logged > LINES_A_SECOND)
			log_warning("policy refused %u more connections",
				    r->logged - LINES_A_SECOND);
		r->logged_since = now;
		r->logged = 0;
	}
	if (r->logged++ >= LINES_A_SECOND)
		return;
	address_format(&refusal->remote, remote);
	log_warning("connection %s %s refused: line %u of the configuration requires encryption, "
		    "but %s",
		    refusal->outgoing ? "to" : "from", remote, refusal->line,
		    why_words(refusal->why));
}

static void refused(const struct shared_refusal *refusal, void *data)
{
	struct refusals *r = data;
	struct ledger *ledger = r->worker->ledger;
	struct record record = { .outgoing = refusal->outgoing,
				 .peer = refusal->remote,
				 .local = refusal->local,
				 .pid = refusal->pid };

	memcpy(record.comm, refusal->comm, sizeof(record.comm));
	log_refusal(r, refusal);
	ledger_begin(ledger, &record);
	ledger_end(ledger, &record, "policy");
}

static void ready(struct loop_source *source, uint32_t events)
{
	struct refusals *r = container_of(source, struct refusals, source);

	engine_refusals_dispatch(r->worker->engine, refused, r);
}

static void begin(void *data)
{
	struct refusals *r = data;

	engine_pinned_refusals(r->worker->engine, refused, r);
	r->error = loop_add(r->worker->loop, &r->source, EPOLLIN);
}

int refusals_open(struct refusals *r, struct worker *w)
{
	memset(r, 0, sizeof(*r));
	r->worker = w;
	r->source.fd = engine_refusals_fd(w->engine);
	r->source.handler = ready;
	worker_call(w, begin, r);
	return r->error;
}

static void end(void *data)
{
	struct refusals *r = data;

	loop_remove(r->worker->loop, &r->source);
}

void refusals_close(struct refusals *r)
{
	worker_call(r->worker, end, r);
}
