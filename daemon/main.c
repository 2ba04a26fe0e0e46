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

#include "crypto/fastest.h"
#include "daemon/background.h"
#include "daemon/clock.h"
#include "daemon/config.h"
#include "daemon/confine.h"
#include "daemon/container.h"
#include "daemon/control.h"
#include "daemon/host.h"
#include "daemon/inproc_channel.h"
#include "daemon/keylog.h"
#include "daemon/log.h"
#include "daemon/loop.h"
#include "daemon/refusal.h"
#include "daemon/resumption.h"
#include "daemon/succession.h"
#include "daemon/workers.h"
#include "engine/cgroup.h"
#include "engine/engine.h"

#define DEFAULT_RUN_DIR "/run/tcpcrypt"

#define EXIT_USAGE 2

/* How long one that was replaced waits for handshakes that had begun with it, and for connections
 * that come of them. */
#define LINGER_SECONDS 20

struct daemon {
	const char *config_path;
	const char *run_dir;
	bool verbose;
	bool check_config;
	bool guard_only;
	bool engine_only; /* only programs in in-process mode are served */
	bool upgrade;
	struct config *config; /* replaced as a whole: the workers read it */
	int keylog_fd;
	struct host_lock lock;
	struct confinement confinement;
	struct loop *loop; /* the main thread's: all but connections */
	struct engine *engine;
	struct resumption *resumption;
	struct workers workers;
	struct refusals refusals;
	struct host_links *links;
	struct control *control;
	struct inproc_channel *inproc;
	struct loop_source signals;
	struct succession succession;
	struct heritage heritage; /* what the daemon leaves that this one replaces */
	bool stopping;
	double drain_until; /* then */
	double yielded;	    /* when another one took over; 0: none has */
};

static void usage(FILE *to)
{
	fprintf(to, "usage: tcpcryptd [--config FILE] [--check-config] [--engine-only] [--guard]\n"
		    "                 [--upgrade] [--run-dir DIR] [--verbose]\n"
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
		{ "engine-only", no_argument, NULL, 'e' },
		{ "check-config", no_argument, NULL, 'k' },
		{ "guard", no_argument, NULL, 'g' },
		{ "upgrade", no_argument, NULL, 'u' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'V' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:ekgur:vhV", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			d->config_path = optarg;
			break;
		case 'r':
			d->run_dir = optarg;
			break;
		case 'e':
			d->engine_only = true;
			break;
		case 'k':
			d->check_config = true;
			break;
		case 'g':
			d->guard_only = true;
			break;
		case 'u':
			d->upgrade = true;
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
		return now > d->drain_until || (idle && !succession_count(&d->succession));
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
	if (is_over(d))
		loop_stop(d->loop);
}

/* SIGTERM: connections under way may end by themselves, here and in the daemons that this one
 * has replaced; new ones are left alone. A second signal, or their time being up, ends it. */
static void drain(void *data)
{
	struct daemon *d = data;
	size_t n = intake_flows(&d->workers.intake);

	succession_stop(&d->succession);
	if (d->stopping || !d->config->drain_seconds || !(n + succession_count(&d->succession))) {
		log_info("ending");
		loop_stop(d->loop);
		return;
	}
	log_info("ending when %zu connection%s ended, in %u seconds at the latest", n,
		 n == 1 ? " has" : "s have", d->config->drain_seconds);
	d->stopping = true;
	d->drain_until = loop_now(d->loop) + d->config->drain_seconds;
	intake_set_closed(&d->workers.intake, true);
	control_set_state(d->control, "stopping");
	if (!d->yielded)
		sd_notify(0, "STOPPING=1");
}

/* NULL when there is an error, which is logged. */
static struct config *config_load(const char *path)
{
	struct config *c = calloc(1, sizeof(*c));
	char message[CONFIG_ERROR_MAX] = "out of memory";

	if (c) {
		config_default(c);
		if (!path || !config_read(c, path, message))
			return c;
	}
	log_error("%s", message);
	free(c);
	return NULL;
}

static void config_drop(struct config *c)
{
	if (c)
		config_free(c);
	free(c);
}

static struct engine_policy policy_of(const struct config *c)
{
	return (struct engine_policy){
		.teps = c->teps,
		.n_teps = c->n_teps,
		.aeads = c->aeads,
		.n_aeads = c->n_aeads,
		.left_alone = c->left_alone,
		.remember_seconds = c->remember_plain_seconds,
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
	bool same = d->keylog_fd >= 0 && !strcmp(c->key_log, d->config->key_log);

	if (!d->confinement.privilege.dropped)
		return keylog_start(c, ret_fd);
	*ret_fd = -1;
	if (*c->key_log && !same) {
		log_error("key-log is opened by root, when the daemon starts: restart it");
		return -EPERM;
	}
	if (*c->key_log)
		*ret_fd = fcntl(d->keylog_fd, F_DUPFD_CLOEXEC, 0);
	return *c->key_log && *ret_fd < 0 ? -errno : 0;
}

/* One step of starting up, with what to tell when it fails. */
static int step(int error, const char *what)
{
	if (error)
		log_error("%s: %s", what, strerror(-error));
	return error;
}

/* SIGHUP: a configuration with an error changes nothing. */
static void reload(struct daemon *d)
{
	struct config *config = d->config_path ? config_load(d->config_path) : NULL;
	struct config *old = d->config;
	struct engine_policy policy;
	int keylog_fd;

	if (!d->config_path)
		log_warning("SIGHUP: there is no configuration file to read again (--config)");
	if (!config)
		return;
	if (keylog_again(d, config, &keylog_fd)) {
		config_drop(config);
		return;
	}
	/* The workers first: a handshake that the programs lead here by the new rules is judged by
	 * the new ones. What fails then is taken back. */
	workers_configure(&d->workers, config, keylog_fd);
	if (step(engine_enforce(d->engine, config->rules, config->n_rules), "the policy's rules")) {
		workers_configure(&d->workers, old, d->keylog_fd);
		if (keylog_fd >= 0)
			close(keylog_fd);
		config_drop(config);
		return;
	}
	if (workers_count(config->workers) != d->workers.n)
		log_warning("another number of workers takes a restart");
	policy = policy_of(config);
	engine_configure(d->engine, &policy);
	control_set_key_log(d->control, config->key_log);
	control_set_policy(d->control, config->n_rules, config_n_required(config));
	resumption_configure(d->resumption, config);
	inproc_channel_configure(d->inproc);
	if (d->keylog_fd >= 0)
		close(d->keylog_fd);
	d->keylog_fd = keylog_fd;
	d->config = config;
	config_drop(old);
	log_info("configuration reloaded from %s", d->config_path);
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

static int engine_start(struct daemon *d)
{
	const struct engine_params params = {
		.out_port = workers_out_port(&d->workers),
		.n_workers = d->workers.n,
		.policy = policy_of(d->config),
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
	if (step(error, "the BPF programs cannot be loaded (Linux 6.1 or later, root and cgroup "
			"v2 are needed)"))
		return error;
	return step(engine_attach(d->engine), "the BPF programs cannot be attached");
}

static void log_crypto(const struct crypto_choice *c)
{
	log_info("AES-GCM by %s (%s), X25519 by %s (%s), HMAC by %s (%s)", c->aes_gcm.library,
		 c->aes_gcm.reason, c->x25519.library, c->x25519.reason, c->hmac.library,
		 c->hmac.reason);
}

static int workers_prepare(struct daemon *d)
{
	struct worker_params params = {
		.engine = d->engine,
		.config = d->config,
		.crypto = crypto_choose()->table,
		.keylog_fd = d->keylog_fd,
	};

	/* 8547-10-4, 8548-8-5: no ENO without good randomness. */
	if (!params.crypto) {
		log_error("libcrypto lacks an algorithm that RFC 8548 requires, or randomness");
		return -ENOTSUP;
	}
	log_crypto(crypto_choose());
	d->resumption = resumption_new(engine_window(d->engine), params.crypto, d->config);
	if (!d->resumption)
		return step(-ENOMEM, "the cache of session secrets");
	params.resumption = d->resumption;
	return step(workers_init(&d->workers, &params), "the workers");
}

/* What only the daemon does that serves. */
static int serve(struct daemon *d)
{
	int error = step(host_links_open(d->engine, d->loop, &d->links), "interfaces");

	if (!error)
		error = step(refusals_open(&d->refusals, &d->workers.all[0]),
			     "the policy's events");
	return error ? error
		     : step(engine_enforce(d->engine, d->config->rules, d->config->n_rules),
			    "the policy's rules");
}

/* Serves in place of another daemon, from one moment to the next. */
static int take_over(struct daemon *d)
{
	int error = serve(d);

	if (error)
		return error;
	intake_set_closed(&d->workers.intake, d->engine_only);
	error = step(engine_take_over(d->engine), "the BPF programs cannot be replaced");
	if (error)
		return error;
	d->lock.theirs = false;
	error = step(inproc_channel_serve(d->inproc), "the socket for in-process mode");
	return error ? error : step(control_serve(d->control), "the control socket");
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
	resumption_configure(d->resumption, d->config);
	/* If it fails, the programs notice as they do when a daemon hangs. */
	take_over(d);
	sd_notifyf(0, "MAINPID=%d", (int)getpid());
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

static const struct succession_ops succession_ops = {
	.bequeath = bequeath,
	.yield = yield,
	.yielded = yielded,
	.take_back = take_back,
	.stop = drain,
	.client = client_come,
	.sweep = sweep,
};

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

	return step(control_open(&d->workers, d->loop, d->run_dir, listener, &status, &d->control),
		    "the control socket");
}

static int inproc_start(struct daemon *d)
{
	int listener = heritage_take(&d->heritage, "socket", "inproc");

	return step(inproc_channel_open(&d->workers.all[0], d->run_dir, listener, &d->inproc),
		    "the socket for in-process mode");
}

/* Everything up to the moment at which connections are taken. */
static int daemon_start(struct daemon *d)
{
	int error;

	if ((error = step(loop_new(&d->loop), "the event loop")) ||
	    (error = step(signals_open(d), "signals")) ||
	    (error = step(workers_open(&d->workers, workers_count(d->config->workers)),
			  "loopback listeners")) ||
	    (error = engine_start(d)) || (error = keylog_start(d->config, &d->keylog_fd)) ||
	    (error = workers_prepare(d)) || (!d->upgrade && (error = serve(d))) ||
	    (error = inproc_start(d)) || (error = control_start(d)) ||
	    (error = step(succession_open(&d->succession, d->loop, d->workers.first_slot,
					  d->workers.n),
			  "the other daemons")))
		return error;
	/* Before there are threads: each has capabilities of its own. */
	error = confine(&d->confinement, d->config, &d->lock, d->engine);
	if (!error)
		error = step(workers_start(&d->workers), "the workers' threads");
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
	error = step(succession_take(&d->succession), "the running tcpcryptd does not yield");
	return error ? error : take_over(d);
}

/* What the running daemon leaves, before anything else. */
static int inherit(struct daemon *d)
{
	int error = succession_ask(d->run_dir, &d->heritage);

	if (error)
		return error;
	error = step(succession_inherit(&d->succession, &d->heritage), "the running tcpcryptd");
	if (error)
		return error;
	/* Where a service manager looks for the service's processes. */
	if (cgroup_join(succession_elder(&d->succession, 0)->pid))
		log_warning("this is not in the cgroup of the tcpcryptd that it replaces");
	return host_lock_inherit(&d->lock, &d->heritage);
}

static void daemon_stop(struct daemon *d)
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

/* One shot, for the time before the daemon starts: from now on what requires encryption is
 * refused until it does. */
static int guard_only(struct daemon *d)
{
	const struct config *c = d->config;
	size_t n = config_n_required(c);
	int error = host_claim(&d->lock);

	if (!error)
		error = step(n ? guard_leave(c->rules, c->n_rules) : guard_forget(), "the guard");
	if (!error)
		log_info(n ? "guarding until a daemon starts"
			   : "no rule requires encryption: there is nothing to guard");
	host_unlock(&d->lock);
	config_drop(d->config);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct daemon d = { .run_dir = DEFAULT_RUN_DIR, .signals.fd = -1, .keylog_fd = -1 };
	int status = options_read(&d, argc, argv);
	int report = -1;
	int error = 0;

	if (status >= 0)
		return status;
	log_init(d.verbose);
	d.config = config_load(d.config_path);
	if (!d.config)
		return EXIT_FAILURE;
	if (d.check_config) {
		config_drop(d.config);
		printf("%s: no errors\n", d.config_path ? d.config_path : "no configuration file");
		return EXIT_SUCCESS;
	}
	if (geteuid()) {
		log_error("only root can run this: it loads BPF programs");
		return EXIT_FAILURE;
	}
	if (d.guard_only)
		return guard_only(&d);
	succession_init(&d.succession, &succession_ops, &d);
	if (d.upgrade)
		error = step(background_begin(&report), "a new process");
	confine_begin(&d.confinement);
	files_raise();
	if (!error)
		error = d.upgrade ? inherit(&d) : host_lock(&d.lock, d.run_dir);
	if (!error)
		error = daemon_start(&d);
	if (!error) {
		if (d.upgrade) {
			background_ready(report, heritage_take(&d.heritage, "log", "stderr"));
			log_init(d.verbose);
		}
		heritage_close(&d.heritage);
		log_info("intercepting; control socket in %s", d.run_dir);
		sd_notify(0, "READY=1");
		error = loop_run(d.loop);
	}
	daemon_stop(&d);
	config_drop(d.config);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
