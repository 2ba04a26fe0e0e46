// SPDX-License-Identifier: BSD-2-Clause
/* tcpcryptd: encrypts the TCP connections of every program in its network namespace. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "crypto/ipsecmb.h"
#include "daemon/carry.h"
#include "daemon/clock.h"
#include "daemon/config.h"
#include "daemon/confine.h"
#include "daemon/container.h"
#include "daemon/control.h"
#include "daemon/host.h"
#include "daemon/keylog.h"
#include "daemon/ledger.h"
#include "daemon/listener.h"
#include "daemon/log.h"
#include "daemon/loop.h"
#include "daemon/outgoing.h"
#include "daemon/wish.h"
#include "daemon/worker.h"
#include "engine/engine.h"

#define DEFAULT_RUN_DIR "/run/tcpcrypt"

#define EXIT_USAGE 2

struct daemon {
	const char *config_path;
	const char *run_dir;
	bool verbose;
	bool check_config;
	struct config config;
	struct host_lock lock;
	struct confinement confinement;
	struct loop *loop;
	struct ledger *ledger;
	struct engine *engine;
	struct listener programs; /* for local programs' connections */
	struct listener steered;  /* for SYNs from the network */
	struct worker worker;
	bool worker_ready;
	struct host_links *links;
	struct control *control;
	struct loop_source signals;
	double drain_until;	   /* while the worker drains */
	struct loop_source events; /* of the BPF programs */
};

static void usage(FILE *to)
{
	fprintf(to, "usage: tcpcryptd [--config FILE] [--check-config] [--run-dir DIR]\n"
		    "                 [--verbose]\n"
		    "\n"
		    "Encrypts the TCP connections of every program in this network namespace\n"
		    "with hosts that do the same. See tcpcryptd(8).\n");
}

/* Returns -1 to go on, or the exit status. */
static int options_read(struct daemon *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "run-dir", required_argument, NULL, 'r' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:kr:vhV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			d->config_path = optarg;
			break;
		case 'r':
			d->run_dir = optarg;
			break;
		case 'k':
			d->check_config = true;
			break;
		case 'v':
			d->verbose = true;
			break;
		case 'h':
			usage(stdout);
			return EXIT_SUCCESS;
		case 'V':
			printf("tcpcryptd %s\n", TCPCRYPT_VERSION);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind == argc)
		return -1;
	fprintf(stderr, "tcpcryptd: unexpected argument '%s'\n", argv[optind]);
	usage(stderr);
	return EXIT_USAGE;
}

static void event_handle(const struct shared_event *event, void *data)
{
	switch ((enum shared_event_type)event->type) {
	case SHARED_EVENT_HELD_SYN:
	case SHARED_EVENT_GAVE_UP:
	case SHARED_EVENT_REMEMBERED:
		outgoing_event(data, event);
		break;
	case SHARED_EVENT_REKEY:
	case SHARED_EVENT_MANDATORY:
		wish_event(data, event);
		break;
	case SHARED_EVENT_OPTIONS:
		carry_event(data, event);
		break;
	}
}

static void events_ready(struct loop_source *source, uint32_t events)
{
	struct daemon *d = container_of(source, struct daemon, events);

	engine_events_dispatch(d->engine, event_handle, &d->worker);
}

static int events_open(struct daemon *d)
{
	d->events.fd = engine_events_fd(d->engine);
	d->events.handler = events_ready;
	return loop_add(d->loop, &d->events, EPOLLIN);
}

static void tick(void *data)
{
	struct daemon *d = data;

	engine_heartbeat(d->engine);
	worker_tick(&d->worker);
	listener_resume(&d->programs);
	listener_resume(&d->steered);
	control_tick(d->control);
	if (d->worker.draining && (!d->worker.n_flows || loop_now(d->loop) > d->drain_until))
		loop_stop(d->loop);
}

/* SIGTERM: connections under way may end by themselves, new ones are left alone. A second
 * signal, or their time being up, ends it. */
static void drain(struct daemon *d)
{
	size_t n = d->worker.n_flows;

	if (d->worker.draining || !n || !d->config.drain_seconds) {
		log_info("ending");
		loop_stop(d->loop);
		return;
	}
	log_info("ending when %zu connection%s ended, in %u seconds at the latest", n,
		 n == 1 ? " has" : "s have", d->config.drain_seconds);
	d->drain_until = loop_now(d->loop) + d->config.drain_seconds;
	d->worker.draining = true;
	worker_update_intake(&d->worker);
	control_set_state(d->control, "stopping");
	sd_notify(0, "STOPPING=1");
}

/* Says what is wrong with the file. */
static bool config_load(struct config *c, const char *path)
{
	char message[CONFIG_ERROR_MAX];

	config_default(c);
	if (!path || !config_read(c, path, message))
		return true;
	log_error("%s", message);
	return false;
}

static struct engine_policy policy_of(const struct config *c)
{
	return (struct engine_policy){
		.teps = c->teps,
		.n_teps = c->n_teps,
		.aeads = c->aeads,
		.n_aeads = c->n_aeads,
		.left_alone = c->left_alone,
	};
}

/* 8547-5-6: for debugging, and never without being told. */
static int keylog_start(const struct config *c, int *ret_fd)
{
	int error;

	*ret_fd = -1;
	if (!*c->key_log)
		return 0;
	error = keylog_open(c->key_log, ret_fd);
	if (error) {
		log_error("the key log %s is refused: %s", c->key_log,
			  error == -EPERM ? "it is not a file for root's eyes only"
					  : strerror(-error));
		return error;
	}
	log_warning("KEY LOG: the keys of every connection are written to %s. Whoever can read "
		    "it can read them all. Remove key-log from the configuration when done.",
		    c->key_log);
	return 0;
}

/*
 * The key log of a configuration that is read again: the one that is open, or none. To open
 * another takes root, whom the daemon is no more.
 */
static int keylog_again(const struct daemon *d, const struct config *c, int *ret_fd)
{
	bool same = d->worker.keylog_fd >= 0 && !strcmp(c->key_log, d->config.key_log);

	if (!d->confinement.privilege.dropped)
		return keylog_start(c, ret_fd);
	*ret_fd = -1;
	if (*c->key_log && !same) {
		log_error("key-log is opened by root, when the daemon starts: restart it");
		return -EPERM;
	}
	if (*c->key_log)
		*ret_fd = fcntl(d->worker.keylog_fd, F_DUPFD_CLOEXEC, 0);
	return *c->key_log && *ret_fd < 0 ? -errno : 0;
}

/* SIGHUP: a configuration with an error changes nothing. */
static void reload(struct daemon *d)
{
	struct engine_policy policy;
	struct config config;
	int keylog_fd;

	if (!d->config_path || !config_load(&config, d->config_path) ||
	    keylog_again(d, &config, &keylog_fd))
		return;
	if (d->worker.keylog_fd >= 0)
		close(d->worker.keylog_fd);
	d->worker.keylog_fd = keylog_fd;
	d->config = config;
	policy = policy_of(&d->config);
	engine_configure(d->engine, &policy);
	worker_configure(&d->worker);
	log_info("configuration reloaded from %s", d->config_path);
}

static void signal_ready(struct loop_source *source, uint32_t events)
{
	struct daemon *d = container_of(source, struct daemon, signals);
	struct signalfd_siginfo info;

	if (read(source->fd, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP)
		reload(d);
	else
		drain(d);
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

/* As many descriptors as allowed. */
static void files_raise(void)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

static const char *interface_name(void *data, size_t i)
{
	struct daemon *d = data;

	return host_links_interface(d->links, i);
}

/* One step of starting up, with what to tell when it fails. */
static int step(int error, const char *what)
{
	if (error)
		log_error("%s: %s", what, strerror(-error));
	return error;
}

static int engine_start(struct daemon *d)
{
	const struct engine_params params = {
		.out_port = d->programs.port,
		.policy = policy_of(&d->config),
	};
	int error = engine_open(&params, &d->engine);

	if (step(error, "the BPF programs cannot be loaded (Linux 6.1 or later, root and cgroup "
			"v2 are needed)"))
		return error;
	return step(engine_attach(d->engine), "the BPF programs cannot be attached");
}

static int worker_start(struct daemon *d)
{
	const struct tcpcrypt_crypto *crypto = crypto_fastest();
	int error;

	/* 8547-10-4, 8548-8-5: no ENO without good randomness. */
	if (!crypto) {
		log_error("libcrypto lacks an algorithm that RFC 8548 requires, or randomness");
		return -ENOTSUP;
	}
	error = worker_init(&d->worker, d->loop, d->engine, d->ledger, &d->config, crypto);
	if (error) {
		log_error("the ENO option cannot be made: %s", strerror(-error));
		return error;
	}
	d->worker_ready = true;
	return keylog_start(&d->config, &d->worker.keylog_fd);
}

/* Everything up to the moment at which connections are taken. */
static int daemon_start(struct daemon *d)
{
	struct control_status status = { .state = "intercepting",
					 .started = clock_wall(),
					 .interface = interface_name,
					 .data = d,
					 .confinement = &d->confinement };
	int error;

	d->ledger = ledger_new();
	if (!d->ledger)
		return step(-ENOMEM, "the ledger");
	if ((error = step(loop_new(&d->loop), "the event loop")) ||
	    (error = step(signals_open(d), "signals")) ||
	    (error = step(listener_open(&d->programs, false), "a loopback listener")) ||
	    (error = step(listener_open(&d->steered, true), "a loopback listener")) ||
	    (error = engine_start(d)) || (error = worker_start(d)) ||
	    (error = step(listener_start(&d->programs, &d->worker), "listening")) ||
	    (error = step(listener_start(&d->steered, &d->worker), "listening")) ||
	    (error = step(events_open(d), "the programs' events")) ||
	    (error = step(host_links_open(d->engine, d->loop, &d->links), "interfaces")) ||
	    (error = step(control_open(&d->worker, d->run_dir, &status, &d->control),
			  "the control socket")) ||
	    (error = confine(&d->confinement, &d->config, &d->lock)))
		return error;
	if (d->config_path && access(d->config_path, R_OK))
		log_warning("%s cannot be read by the user %s: SIGHUP will not reload it",
			    d->config_path, d->config.user);
	loop_set_tick(d->loop, tick, d);
	worker_update_intake(&d->worker);
	return 0;
}

static void daemon_stop(struct daemon *d)
{
	/* First of all nothing new comes; what is under way ends with an error that is one. */
	if (d->worker_ready)
		worker_deinit(&d->worker);
	control_close(d->control);
	host_links_close(d->links);
	listener_close(&d->programs);
	listener_close(&d->steered);
	engine_close(d->engine);
	if (d->signals.fd >= 0)
		close(d->signals.fd);
	loop_free(d->loop);
	ledger_free(d->ledger);
	host_unlock(&d->lock);
}

int main(int argc, char **argv)
{
	/* Not on the stack: the worker is large. */
	static struct daemon d = { .run_dir = DEFAULT_RUN_DIR,
				   .signals.fd = -1,
				   .programs.v4.fd = -1,
				   .programs.v6.fd = -1,
				   .steered.v4.fd = -1,
				   .steered.v6.fd = -1 };
	int status = options_read(&d, argc, argv);
	int error;

	if (status >= 0)
		return status;
	log_init(d.verbose);
	if (!config_load(&d.config, d.config_path))
		return EXIT_FAILURE;
	if (d.check_config) {
		printf("%s: no errors\n", d.config_path ? d.config_path : "no configuration file");
		return EXIT_SUCCESS;
	}
	if (geteuid()) {
		log_error("only root can run this: it loads BPF programs");
		return EXIT_FAILURE;
	}
	confine_begin(&d.confinement);
	files_raise();
	error = host_lock(&d.lock, d.run_dir);
	if (!error)
		error = daemon_start(&d);
	if (!error) {
		log_info("intercepting; control socket in %s", d.run_dir);
		sd_notify(0, "READY=1");
		error = loop_run(d.loop);
	}
	daemon_stop(&d);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
