// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "crypto/fastest.h"
#include "daemon/aeads.h"
#include "daemon/clock.h"
#include "daemon/container.h"
#include "daemon/log.h"

/* How long one that was replaced waits for handshakes that had begun with it, and for connections
 * that come of them. */
#define LINGER_SECONDS 20

/* Who stops without connections may still have some: a program's connect() was turned to here, and its
 * SYN is on the way. */
#define STEERED_SECONDS 0.1

int daemon_step(int error, const char *what)
{
	if (error)
		log_error("%s: %s", what, strerror(-error));
	return error;
}

/* The programs are told the oldest of all threads' signs of life: should one hang, they notice. */
static void heartbeat(struct daemon *d)
{
	engine_heartbeat(d->engine, (uint64_t)(workers_alive(&d->workers) * 1e9));
}

/* Is there nothing more to do? */
static bool is_over(const struct daemon *d)
{
	double now = loop_now(d->loop);
	bool idle = !intake_flows(&d->workers.intake);

	if (d->stopping)
		return now > d->drain_until || (idle && now > d->stopped + STEERED_SECONDS &&
						!succession_count(&d->succession));
	return d->yielded && idle && !control_clients(d->control) &&
	       now > d->yielded + LINGER_SECONDS;
}

static void tick(void *data)
{
	struct daemon *d = data;

	heartbeat(d);
	intake_tick(&d->workers.intake);
	engine_time_out_run(d->engine);
	resumption_tick(d->resumption, loop_now(d->loop));
	control_tick(d->control);
	succession_tick(&d->succession);
	if (is_over(d) && succession_retire(&d->succession))
		loop_stop(d->loop);
}

/* SIGTERM: connections under way may end by themselves, here and in the daemons that this one
 * has replaced; new ones are left alone. A second signal, or their time being up, ends it. */
void daemon_drain(void *data)
{
	struct daemon *d = data;
	size_t n = intake_flows(&d->workers.intake);

	succession_stop(&d->succession);
	if (d->stopping || !d->config->drain_seconds) {
		log_info("ending");
		loop_stop(d->loop);
		return;
	}
	log_info("ending when %zu connection%s ended, in %u seconds at the latest", n,
		 n == 1 ? " has" : "s have", d->config->drain_seconds);
	d->stopping = true;
	d->stopped = loop_now(d->loop);
	d->drain_until = d->stopped + d->config->drain_seconds;
	intake_set_closed(&d->workers.intake, true);
	control_set_state(d->control, "stopping");
	if (!d->yielded)
		sd_notify(0, "STOPPING=1");
}

static void signal_ready(struct loop_source *source, uint32_t events)
{
	struct daemon *d = container_of(source, struct daemon, signals);
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP && d->yielded)
		log_warning("another tcpcryptd has taken over: SIGHUP is for that");
	else if (info.ssi_signo == SIGHUP)
		daemon_reload(d);
	else
		daemon_drain(d);
}

static int signals_open(struct daemon *d)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	d->signals.fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (d->signals.fd < 0)
		return -errno;
	d->signals.handler = signal_ready;
	return loop_add(d->loop, &d->signals, EPOLLIN);
}

static const char *interface_name(void *data, size_t i)
{
	struct daemon *d = data;

	return host_links_interface(d->links, i);
}

static int engine_start(struct daemon *d)
{
	const struct engine_params params = {
		.out_port = workers_out_port(&d->workers),
		.n_workers = d->workers.n,
		.policy = daemon_policy(d->config),
		.heritage = d->upgrade ? &d->heritage : NULL,
	};
	int error = engine_open(&params, &d->engine);

	if (error == -ESTALE) {
		log_error("the running tcpcryptd cannot be replaced in place: its BPF maps are not "
			  "as this one's; stop it and start this one instead");
		return error;
	}
	if (error == -ENOSPC && d->upgrade) {
		log_error("the running tcpcryptd cannot be replaced in place: too many older ones "
			  "still have connections");
		return error;
	}
	if (daemon_step(error,
			"the BPF programs cannot be loaded (Linux 6.1 or later, root and cgroup "
			"v2 are needed)"))
		return error;
	return daemon_step(engine_attach(d->engine), "the BPF programs cannot be attached");
}

static void log_crypto(const struct crypto_choice *c)
{
	log_info("AES-GCM by %s (%s), X25519 by %s (%s), HMAC by %s (%s)", c->aes_gcm.library,
		 c->aes_gcm.reason, c->x25519.library, c->x25519.reason, c->hmac.library,
		 c->hmac.reason);
}

static int workers_prepare(struct daemon *d)
{
	const struct tcpcrypt_crypto *crypto = crypto_choose()->table;
	struct worker_params params = {
		.engine = d->engine,
		.config = d->config,
		.keylog_fd = d->keylog_fd,
	};

	/* 8547-10-4, 8548-8-5: no ENO without good randomness. */
	if (!crypto) {
		log_error("libcrypto lacks an algorithm that RFC 8548 requires, or randomness");
		return -ENOTSUP;
	}
	log_crypto(crypto_choose());
	params.crypto = aeads_table(crypto);
	d->resumption = resumption_new(engine_window(d->engine), crypto, d->config);
	if (!d->resumption)
		return daemon_step(-ENOMEM, "the cache of session secrets");
	params.resumption = d->resumption;
	return daemon_step(workers_init(&d->workers, &params), "the workers");
}

int daemon_serve(struct daemon *d)
{
	int error = daemon_step(host_links_open(d->engine, d->loop, &d->links), "interfaces");

	if (!error)
		error = daemon_step(refusals_open(&d->refusals, &d->workers.all[0]),
				    "the policy's events");
	return error ? error
		     : daemon_step(engine_enforce(d->engine, d->config->rules, d->config->n_rules),
				   "the policy's rules");
}

static int control_start(struct daemon *d)
{
	const struct control_status status = { .state = d->engine_only ? "engine-only"
								       : "intercepting",
					       .engine = d->engine,
					       .crypto = crypto_choose(),
					       .key_log = d->config->key_log,
					       .n_rules = d->config->n_rules,
					       .n_required = config_n_required(d->config),
					       .started = clock_wall(),
					       .interface = interface_name,
					       .data = d,
					       .confinement = &d->confinement,
					       .resumption = d->resumption,
					       .inproc = d->inproc,
					       .succession = &d->succession };
	int listener = heritage_take(&d->heritage, "socket", "control");

	return daemon_step(control_open(&d->workers, d->loop, d->run_dir, listener, &status,
					&d->control),
			   "the control socket");
}

static int inproc_start(struct daemon *d)
{
	int listener = heritage_take(&d->heritage, "socket", "inproc");

	return daemon_step(inproc_channel_open(&d->workers.all[0], d->run_dir, listener,
					       &d->inproc),
			   "the socket for in-process mode");
}

int daemon_start(struct daemon *d)
{
	int error;

	if ((error = daemon_step(loop_new(&d->loop), "the event loop")) ||
	    (error = daemon_step(signals_open(d), "signals")) ||
	    (error = daemon_step(workers_open(&d->workers, workers_count(d->config->workers)),
				 "loopback listeners")) ||
	    (error = engine_start(d)) || (error = daemon_keylog_open(d->config, &d->keylog_fd)) ||
	    (error = workers_prepare(d)) || (!d->upgrade && (error = daemon_serve(d))) ||
	    (error = inproc_start(d)) || (error = control_start(d)) ||
	    (error = daemon_step(succession_open(&d->succession, d->loop, d->workers.first_slot,
						 d->workers.n),
				 "the other daemons")))
		return error;
	/* Before there are threads: each has capabilities of its own. */
	error = confine(&d->confinement, d->config, &d->lock, d->engine);
	if (!error)
		error = daemon_step(workers_start(&d->workers), "the workers' threads");
	if (error)
		return error;
	if (d->config_path && access(d->config_path, R_OK))
		log_warning("%s cannot be read by the user %s: SIGHUP will not reload it",
			    d->config_path, d->config->user);
	loop_set_tick(d->loop, tick, d);
	if (!d->upgrade) {
		intake_set_closed(&d->workers.intake, d->engine_only);
		return 0;
	}
	error = daemon_step(succession_take(&d->succession),
			    "the running tcpcryptd does not yield");
	if (error)
		return error;
	daemon_reload_changed(d);
	return daemon_take_over(d);
}

void daemon_stop(struct daemon *d)
{
	/* First of all nothing new comes; what is under way ends with an error that is one. */
	workers_stop(&d->workers);
	control_close(d->control);
	inproc_channel_close(d->inproc);
	host_links_close(d->links);
	workers_close(&d->workers);
	if (d->engine && !d->lock.theirs && config_n_required(d->config))
		log_info("policy still requires encryption: what it is required for is refused "
			 "while no tcpcryptd runs (tcpcrypt cleanup --guard ends that)");
	resumption_free(d->resumption);
	engine_close(d->engine);
	succession_close(&d->succession);
	heritage_close(&d->heritage);
	if (d->keylog_fd >= 0)
		close(d->keylog_fd);
	if (d->signals.fd >= 0)
		close(d->signals.fd);
	loop_free(d->loop);
	host_unlock(&d->lock);
}
