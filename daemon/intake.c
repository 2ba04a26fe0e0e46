// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/intake.h"

#include <sys/resource.h>

#include "daemon/log.h"
#include "daemon/pipe.h"

#define QUIET_TICKS 60

#define FILES_RESERVE  16  /* so much of them is for what comes before the programs step aside */
#define FILES_OTHERS   144 /* the daemon's own: BPF, control clients */
#define FILES_A_WORKER (16 + 2 * PIPE_SPARE_MAX) /* listeners, events; pipes kept for reuse */

static size_t files_max(const struct intake *in)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files))
		files.rlim_cur = 1024;
	return files.rlim_cur > in->files_others ? files.rlim_cur - in->files_others : 0;
}

void intake_init(struct intake *in, struct engine *engine, unsigned int n_workers, size_t max_flows)
{
	in->engine = engine;
	in->closed = in->paused = true;
	in->files_others = FILES_OTHERS + (size_t)n_workers * FILES_A_WORKER;
	in->max_files = files_max(in);
	in->max_flows = max_flows;
	pthread_mutex_init(&in->lock, NULL);
}

static bool should_pause(const struct intake *in)
{
	size_t max_flows = in->max_flows, max_files = in->max_files;

	/* The rest is for connections that came before the programs knew. */
	return in->closed || in->exhausted || in->files >= max_files - max_files / FILES_RESERVE ||
	       (max_flows && in->flows >= max_flows);
}

/*
 * Who changes a count looks at paused afterwards, and who changes paused looks at the counts
 * afterwards: so one of two that meet sees what the other did.
 */
static void settle(struct intake *in)
{
	if (should_pause(in) == in->paused)
		return;
	pthread_mutex_lock(&in->lock);
	while (should_pause(in) != in->paused) {
		in->paused = !in->paused;
		engine_set_paused(in->engine, in->paused);
	}
	pthread_mutex_unlock(&in->lock);
}

void intake_set_max_flows(struct intake *in, size_t max_flows)
{
	in->max_flows = max_flows;
	settle(in);
}

void intake_set_closed(struct intake *in, bool closed)
{
	in->closed = closed;
	settle(in);
}

bool intake_is_closed(const struct intake *in)
{
	return in->closed;
}

void intake_count(struct intake *in, int flows, int files)
{
	in->flows += flows;
	in->files += files;
	settle(in);
}

size_t intake_flows(const struct intake *in)
{
	return in->flows;
}

bool intake_is_full(const struct intake *in)
{
	return in->files >= in->max_files;
}

bool intake_set_exhausted(struct intake *in)
{
	bool before = atomic_exchange(&in->exhausted, true);

	settle(in);
	return !before;
}

bool intake_is_at_limit(const struct intake *in)
{
	return in->paused && !in->closed;
}

static void limit_tell(struct intake *in)
{
	if (in->quiet) {
		in->quiet--;
		return;
	}
	/* What was exhausted has been told of. */
	if (!intake_is_at_limit(in) || in->exhausted)
		return;
	log_warning("%zu connections, and no more are taken until some end: the limit is "
		    "max-connections, or that on open files",
		    intake_flows(in));
	in->quiet = QUIET_TICKS;
}

void intake_tick(struct intake *in)
{
	limit_tell(in);
	in->max_files = files_max(in);
	in->exhausted = false;
	settle(in);
}
