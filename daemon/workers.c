// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/workers.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

unsigned int workers_count(unsigned int n)
{
	cpu_set_t cpus;

	/* More CPUs than fit into the set: as many as there can be workers, or more. */
	if (!n)
		n = sched_getaffinity(0, sizeof(cpus), &cpus) ? SHARED_WORKERS_MAX
							      : (unsigned int)CPU_COUNT(&cpus);
	return n < SHARED_WORKERS_MAX ? n : SHARED_WORKERS_MAX;
}

int workers_open(struct workers *ws, unsigned int n)
{
	int error = 0;

	ws->all = calloc(n, sizeof(*ws->all));
	if (!ws->all)
		return -ENOMEM;
	ws->n = n;
	for (unsigned int i = 0; !error && i < n; i++) {
		error = listener_open(&ws->all[i].programs, false, ws->all[0].programs.port);
		if (!error)
			error = listener_open(&ws->all[i].steered, true, ws->all[0].steered.port);
	}
	return error;
}

uint16_t workers_out_port(const struct workers *ws)
{
	return ws->all[0].programs.port;
}

int workers_init(struct workers *ws, const struct worker_params *params)
{
	struct worker_params p = *params;
	int error = 0;

	ws->first_slot = engine_first_slot(p.engine);
	p.intake = &ws->intake;
	intake_init(&ws->intake, p.engine, ws->n, p.config->max_connections);
	for (unsigned int i = 0; !error && i < ws->n; i++) {
		struct worker *w = &ws->all[i];

		p.index = i;
		p.slot = ws->first_slot + i;
		error = worker_init(w, &p);
		if (!error)
			error = listener_listen(&w->programs, w);
		if (!error)
			error = listener_listen(&w->steered, w);
	}
	for (unsigned int i = 0; !error && i < ws->n; i++) {
		error = listener_start(&ws->all[i].programs);
		if (!error)
			error = listener_start(&ws->all[i].steered);
	}
	return error;
}

int workers_start(struct workers *ws)
{
	int error = 0;

	for (unsigned int i = 0; !error && i < ws->n; i++)
		error = worker_start(&ws->all[i]);
	return error;
}

struct worker *workers_of_flow(const struct workers *ws, uint64_t id)
{
	unsigned int index = shared_flow_slot(id) - ws->first_slot;

	return index < ws->n ? &ws->all[index] : NULL;
}

void workers_stop(struct workers *ws)
{
	if (ws->intake.engine)
		intake_set_closed(&ws->intake, true);
	for (unsigned int i = 0; i < ws->n; i++)
		worker_stop(&ws->all[i]);
}

void workers_close(struct workers *ws)
{
	for (unsigned int i = 0; i < ws->n; i++)
		worker_deinit(&ws->all[i]);
	free(ws->all);
	ws->all = NULL;
	ws->n = 0;
}

struct configuring {
	struct worker *worker;
	const struct config *config;
	int keylog_fd;
	int error;
};

static void configure(void *data)
{
	struct configuring *c = data;

	c->error = worker_configure(c->worker, c->config, c->keylog_fd);
}

int workers_configure(struct workers *ws, const struct config *config, int keylog_fd)
{
	int error = 0;

	intake_set_max_flows(&ws->intake, config->max_connections);
	for (unsigned int i = 0; i < ws->n; i++) {
		struct configuring c = { &ws->all[i], config, keylog_fd, 0 };

		worker_call(&ws->all[i], configure, &c);
		if (c.error)
			error = c.error;
	}
	return error;
}

void workers_set_watcher(struct workers *ws,
			 void (*watch)(void *data, enum ledger_event event, const struct record *r),
			 void *data)
{
	for (unsigned int i = 0; i < ws->n; i++)
		ledger_set_watcher(ws->all[i].ledger, watch, data);
}

double workers_alive(const struct workers *ws)
{
	double alive = ws->all[0].alive;

	for (unsigned int i = 1; i < ws->n; i++)
		if (ws->all[i].alive < alive)
			alive = ws->all[i].alive;
	return alive;
}
