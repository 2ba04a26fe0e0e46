// SPDX-License-Identifier: BSD-2-Clause
/* tcpcryptd: encrypts the TCP connections of every program in its network namespace. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "daemon/background.h"
#include "daemon/daemon.h"
#include "daemon/log.h"

#define DEFAULT_RUN_DIR "/run/tcpcrypt"

#define EXIT_USAGE 2

static void usage(FILE *to)
{
	fputs("usage: tcpcryptd [OPTIONS]\n"
	      "\n"
	      "Encrypts the TCP connections of every program in this network namespace\n"
	      "with hosts that do the same. See tcpcryptd(8).\n"
	      "\n"
	      "options:\n"
	      "  --config FILE   settings; none are needed\n"
	      "  --check-config  only say whether the configuration is right\n"
	      "  --engine-only   serve only programs that encrypt by themselves (tcpcrypt run)\n"
	      "  --guard         only refuse, until a daemon runs, what must be encrypted\n"
	      "  --upgrade       take over from the tcpcryptd that runs\n"
	      "  --run-dir DIR   where its sockets are (" DEFAULT_RUN_DIR ")\n"
	      "  --verbose       say more on standard error\n"
	      "  --help          this text\n"
	      "  --version       the version\n",
	      to);
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

/* As many descriptors as allowed. */
static void files_raise(void)
{
	struct rlimit files;

	if (!getrlimit(RLIMIT_NOFILE, &files)) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* One shot, for the time before the daemon starts: from now on what requires encryption is
 * refused until it does. */
static int guard_only(struct daemon *d)
{
	const struct config *c = d->config;
	size_t n = config_n_required(c);
	int error = host_claim(&d->lock);

	if (!error)
		error = daemon_step(n ? guard_leave(c->rules, c->n_rules) : guard_forget(),
				    "the guard");
	if (!error)
		log_info(n ? "guarding until a daemon starts"
			   : "no rule requires encryption: there is nothing to guard");
	host_unlock(&d->lock);
	daemon_config_drop(d->config);
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
	d.config = daemon_config_load(d.config_path, &d.config_file);
	if (!d.config)
		return EXIT_FAILURE;
	if (d.check_config) {
		daemon_config_drop(d.config);
		printf("%s: no errors\n", d.config_path ? d.config_path : "no configuration file");
		return EXIT_SUCCESS;
	}
	if (geteuid()) {
		log_error("only root can run this: it loads BPF programs");
		return EXIT_FAILURE;
	}
	if (d.guard_only)
		return guard_only(&d);
	succession_init(&d.succession, &daemon_succession_ops, &d);
	if (d.upgrade)
		error = daemon_step(background_begin(&report), "a new process");
	confine_begin(&d.confinement);
	files_raise();
	if (!error)
		error = d.upgrade ? daemon_inherit(&d) : host_lock(&d.lock, d.run_dir);
	if (!error)
		error = daemon_start(&d);
	if (!error) {
		if (d.upgrade) {
			background_ready(report, heritage_take(&d.heritage, "log", "stderr"));
			log_init(d.verbose);
		}
		heritage_close(&d.heritage);
		log_info("%s; control socket in %s",
			 d.engine_only
				 ? "engine only: programs that encrypt by themselves are served"
				 : "intercepting",
			 d.run_dir);
		sd_notify(0, "READY=1");
		error = loop_run(d.loop);
	}
	daemon_stop(&d);
	daemon_config_drop(d.config);
	return error ? EXIT_FAILURE : EXIT_SUCCESS;
}
