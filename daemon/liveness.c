// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/liveness.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

#include "daemon/flow.h"
#include "daemon/relay.h"

/* An end that is there answers at once; this is for bad paths. */
#define ANSWER_SECONDS_MAX 60

void liveness_begin(struct flow *f)
{
	f->life.heard = f->life.rekeyed = loop_now(f->worker->loop);
}

/*
 * 8548-3.8-1: new keys by age, where data has gone under the old ones. A new generation is
 * noticed at the next tick; what has gone since the one before counts as its data.
 */
static void rekey_by_age(struct flow *f)
{
	unsigned int seconds = f->worker->config->rekey_seconds;
	struct liveness *life = &f->life;
	struct tcpcrypt_session_info info;
	uint64_t bytes;

	tcpcrypt_session_info(f->session, &info);
	bytes = info.app_bytes_in + info.app_bytes_out;
	if (info.local_generation != life->generation) {
		life->rekeyed = loop_now(f->worker->loop);
		life->generation = info.local_generation;
		life->bytes = life->bytes_seen;
	}
	life->bytes_seen = bytes;
	if (seconds && loop_now(f->worker->loop) - life->rekeyed >= seconds && bytes != life->bytes)
		flow_rekey(f);
}

/* What waits in the kernel has TCP's own timers, and is why a probe would not come through. */
static bool sends(const struct flow *f)
{
	int queued = 0;

	if (f->outward.start < f->outward.end)
		return true;
	return !ioctl(f->net.source.fd, SIOCOUTQ, &queued) && queued;
}

/* While our own program does not read, nor do we: an answer may have come. */
static bool listens(const struct flow *f)
{
	return !f->inward.plain_n && !f->inward.throttled && !f->starved;
}

/* 8548-3.9-1, 8548-3.9-2: a key update is answered by nobody who lacks the keys, and at once.
 * Ends that have sent FIN neither answer nor ask. */
static void probe(struct flow *f, double now)
{
	unsigned int seconds = f->worker->config->keepalive_seconds;

	if (now - f->life.heard < seconds || f->inward.eof || f->outward.eof || sends(f))
		return;
	/* One that is under way asks as well. */
	if (flow_rekey(f) < 0)
		return;
	f->life.probing = true;
	f->life.asked = now;
	f->life.deadline = now + (seconds < ANSWER_SECONDS_MAX ? seconds : ANSWER_SECONDS_MAX);
}

/* Returns false when the flow is gone. */
static bool stays_alive(struct flow *f)
{
	double now = loop_now(f->worker->loop);
	unsigned int seconds = f->worker->config->keepalive_seconds;

	if (!listens(f))
		f->life.heard = now;
	if (f->life.heard > f->life.asked || f->inward.eof || f->outward.eof)
		f->life.probing = false;
	if (seconds && !f->life.probing)
		probe(f, now);
	if (!f->life.probing || now < f->life.deadline)
		return true;
	flow_time_out(f);
	return false;
}

void liveness_tick(struct worker *w)
{
	struct flow *f, *next;

	for (f = TAILQ_FIRST(&w->flows); f; f = next) {
		next = TAILQ_NEXT(f, all_entry);
		if (f->state == FLOW_TIMING_OUT)
			continue;
		relay_tick(f);
		/* One that has lost an end only brings to the other what is left, and has its time for
		 * that. */
		if (!f->session || !f->established || f->gone_reason)
			continue;
		if (stays_alive(f))
			rekey_by_age(f);
	}
}
