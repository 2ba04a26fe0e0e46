// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/worker.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/flow.h"
#include "daemon/incoming.h"
#include "daemon/liveness.h"
#include "daemon/log.h"
#include "daemon/wish.h"

/* What flows hold: two sockets, and two pipes when bytes of a plain one wait. */
#define FILES_A_FLOW  2
#define FILES_A_PLAIN 4
#define FILES_RESERVE 16  /* so much of them is for what comes before the programs step aside */
#define FILES_OTHERS  192 /* the daemon's own: BPF, control clients, pipes kept for reuse */

static size_t files_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		files.rlim_cur = 1024;
	return files.rlim_cur > FILES_OTHERS ? files.rlim_cur - FILES_OTHERS : 0;
}

int worker_init(struct worker *w, struct loop *loop, struct engine *engine, struct ledger *ledger,
		const struct config *config, const struct tcpcrypt_crypto *crypto)
{
	memset(w, 0, sizeof(*w));
	w->loop = loop;
	w->engine = engine;
	w->ledger = ledger;
	w->config = config;
	w->crypto = crypto;
	w->keylog_fd = -1;
	w->max_files = files_max();
	TAILQ_INIT(&w->flows);
	TAILQ_INIT(&w->waiting);
	for (size_t i = 0; i < WORKER_HELD_BUCKETS; i++)
		TAILQ_INIT(&w->held[i]);
	for (size_t i = 0; i < WORKER_ID_BUCKETS; i++)
		TAILQ_INIT(&w->by_id[i]);
	return worker_configure(w);
}

int worker_configure(struct worker *w)
{
	const struct shared_wishes none = {};

	w->max_flows = w->config->max_connections;
	return wish_offer(w, &none, &w->offer);
}

void worker_deinit(struct worker *w)
{
	struct flow *f;

	w->draining = true;
	worker_update_intake(w);
	while ((f = TAILQ_FIRST(&w->flows)))
		flow_abort(f, "daemon", ECONNRESET);
	if (w->keylog_fd >= 0)
		close(w->keylog_fd);
	buffer_pool_deinit(&w->buffers);
	pipe_pool_deinit(&w->pipes);
}

static const char *overdue_reason(const struct flow *f)
{
	if (f->gone_reason)
		return f->gone_reason;
	/* With keys it was the program, the server, or the peer's FIN that did not come. */
	return f->session && !f->established ? "handshake-timeout" : "timeout";
}

void worker_tick(struct worker *w)
{
	struct flow *f, *next;

	for (f = TAILQ_FIRST(&w->waiting); f; f = next) {
		next = TAILQ_NEXT(f, waiting_entry);
		if (f->deadline < loop_now(w->loop))
			flow_abort(f, overdue_reason(f), ECONNRESET);
		else if (f->state == FLOW_EXPECT_SERVER)
			incoming_again(f);
		else if (f->gone_reason)
			/* Nothing else tells that the kernel has sent the rest. */
			loop_queue(w->loop, &f->again);
	}
	liveness_tick(w);
	/* The limit may have been changed from outside. */
	w->max_files = files_max();
	w->exhausted = false;
	worker_update_intake(w);
}

static size_t files_used(const struct worker *w)
{
	return w->n_flows * FILES_A_FLOW + w->n_plain * FILES_A_PLAIN;
}

bool worker_is_full(const struct worker *w)
{
	return files_used(w) >= w->max_files;
}

bool worker_is_exhausted(struct worker *w, int error)
{
	if (error != -EMFILE && error != -ENFILE && error != -ENOMEM && error != -ENOBUFS)
		return false;
	if (!w->exhausted)
		log_warning("new connections wait or are left alone: %s", strerror(-error));
	w->exhausted = true;
	worker_update_intake(w);
	return true;
}

void worker_update_intake(struct worker *w)
{
	/* The rest is for connections that came before the programs knew. */
	bool full = files_used(w) >= w->max_files - w->max_files / FILES_RESERVE ||
		    (w->max_flows && w->n_flows >= w->max_flows);

	engine_set_paused(w->engine, w->draining || w->exhausted || full);
}
