// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "daemon/flow.h"
#include "daemon/liveness.h"
#include "daemon/wish.h"

/* What flows hold: two sockets, and two pipes when bytes of a plain one wait. */
#define FILES_A_FLOW  2
#define FILES_A_PLAIN 4
#define FILES_OTHERS  64 /* the daemon's own, and room for connections that are just being made */

static size_t files_max(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		files.rlim_cur = 1024;
	return files.rlim_cur > 2 * FILES_OTHERS ? files.rlim_cur - FILES_OTHERS : FILES_OTHERS;
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
	w->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
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
	w->max_files = files_max();
	return wish_offer(w, &none, &w->offer);
}

void worker_deinit(struct worker *w)
{
	struct flow *f;

	w->draining = true;
	worker_update_intake(w);
	while ((f = TAILQ_FIRST(&w->flows)))
		flow_abort(f, "daemon", ECONNRESET);
	if (w->reserve_fd >= 0)
		close(w->reserve_fd);
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
		else if (f->gone_reason)
			/* Nothing else tells that the kernel has sent the rest. */
			loop_queue(w->loop, &f->again);
	}
	liveness_tick(w);
}

void worker_update_intake(struct worker *w)
{
	size_t files = w->n_flows * FILES_A_FLOW + w->n_plain * FILES_A_PLAIN;
	bool full = files >= w->max_files || (w->max_flows && w->n_flows >= w->max_flows);

	engine_set_paused(w->engine, w->draining || full);
}
