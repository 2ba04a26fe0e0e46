// SPDX-License-Identifier: BSD-2-Clause
/* Upgrade in place: what a daemon takes from the one it replaces, and leaves to the one after it. */
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/log.h"
#include "engine/cgroup.h"

int daemon_take_over(struct daemon *d)
{
	int error = daemon_serve(d);

	if (error)
		return error;
	/* Who takes back may have been told to end: then it has only the rest to itself. */
	intake_set_closed(&d->workers.intake, d->engine_only || d->stopping);
	error = daemon_step(engine_take_over(d->engine), "the BPF programs cannot be replaced");
	if (error)
		return error;
	d->lock.theirs = false;
	error = daemon_step(inproc_channel_serve(d->inproc), "the socket for in-process mode");
	return error ? error : daemon_step(control_serve(d->control), "the control socket");
}

static int bequeath(void *data, struct heritage *to)
{
	struct daemon *d = data;
	int error = engine_bequeath(d->engine, to);

	if (!error)
		error = host_lock_bequeath(&d->lock, to);
	if (!error)
		error = heritage_add(to, "socket", "control", control_listener(d->control));
	if (!error)
		error = heritage_add(to, "socket", "inproc", d->inproc->listener.fd);
	return error ? error : heritage_add(to, "log", "stderr", STDERR_FILENO);
}

static void yield(void *data, pid_t to)
{
	struct daemon *d = data;

	engine_yield(d->engine);
	resumption_retire(d->resumption);
	refusals_close(&d->refusals);
	control_yield(d->control);
	inproc_channel_yield(d->inproc);
	host_links_close(d->links);
	d->links = NULL;
	d->lock.theirs = true;
	d->yielded = loop_now(d->loop);
	intake_set_closed(&d->workers.intake, true);
	/* It believes only the one that it has believed so far. */
	sd_notifyf(0, "MAINPID=%d", (int)to);
	log_info("tcpcryptd %d has taken over; this one ends with its last connection", (int)to);
}

static void yielded(void *data)
{
	struct daemon *d = data;

	control_pass_watchers(d->control);
}

static void take_back(void *data)
{
	struct daemon *d = data;

	d->yielded = 0;
	engine_revoke(d->engine);
	resumption_configure(d->resumption, d->config);
	/* If it fails, the programs notice as they do when a daemon hangs. */
	daemon_take_over(d);
	sd_notifyf(0, "MAINPID=%d", (int)getpid());
}

/* Who stops a service may have told all of its processes: the newer one's word is no second order. */
static void stop(void *data)
{
	struct daemon *d = data;

	if (!d->stopping)
		daemon_drain(d);
}

static void sweep(void *data)
{
	struct daemon *d = data;

	engine_sweep_slots(d->engine, succession_in_use, &d->succession);
}

static void client_come(void *data, int fd, const char *request, size_t len)
{
	struct daemon *d = data;

	control_client(d->control, fd, request, len);
}

const struct succession_ops daemon_succession_ops = {
	.bequeath = bequeath,
	.yield = yield,
	.yielded = yielded,
	.take_back = take_back,
	.stop = stop,
	.client = client_come,
	.sweep = sweep,
};

int daemon_inherit(struct daemon *d)
{
	int error = succession_ask(d->run_dir, &d->heritage);

	if (error)
		return error;
	error = daemon_step(succession_inherit(&d->succession, &d->heritage),
			    "the running tcpcryptd");
	if (error)
		return error;
	/* Where a service manager looks for the service's processes. */
	if (cgroup_join(succession_elder(&d->succession, 0)->pid))
		log_warning("this is not in the cgroup of the tcpcryptd that it replaces");
	return host_lock_inherit(&d->lock, &d->heritage);
}
