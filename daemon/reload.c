// SPDX-License-Identifier: BSD-2-Clause
/* The configuration as a whole: read at the start, and again for SIGHUP. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/keylog.h"
#include "daemon/log.h"

struct config *daemon_config_load(const char *path, struct stat *ret_file)
{
	struct config *c = calloc(1, sizeof(*c));
	char message[CONFIG_ERROR_MAX] = "out of memory";

	if (c) {
		config_default(c);
		if (path && stat(path, ret_file))
			memset(ret_file, 0, sizeof(*ret_file));
		if (!path || !config_read(c, path, message))
			return c;
	}
	log_error("%s", message);
	free(c);
	return NULL;
}

void daemon_config_drop(struct config *c)
{
	if (c)
		config_free(c);
	free(c);
}

struct engine_policy daemon_policy(const struct config *c)
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
int daemon_keylog_open(const struct config *c, int *ret_fd)
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
		return daemon_keylog_open(c, ret_fd);
	*ret_fd = -1;
	if (*c->key_log && !same) {
		log_error("key-log is opened by root, when the daemon starts: restart it");
		return -EPERM;
	}
	if (*c->key_log)
		*ret_fd = fcntl(d->keylog_fd, F_DUPFD_CLOEXEC, 0);
	return *c->key_log && *ret_fd < 0 ? -errno : 0;
}

void daemon_reload(struct daemon *d)
{
	struct stat file;
	struct config *config = d->config_path ? daemon_config_load(d->config_path, &file) : NULL;
	struct config *old = d->config;
	struct engine_policy policy;
	int keylog_fd;

	if (!d->config_path)
		log_warning("SIGHUP: there is no configuration file to read again (--config)");
	if (!config)
		return;
	if (keylog_again(d, config, &keylog_fd)) {
		daemon_config_drop(config);
		return;
	}
	/* The workers first: a handshake that the programs lead here by the new rules is judged by
	 * the new ones. What fails then is taken back. */
	workers_configure(&d->workers, config, keylog_fd);
	if (daemon_step(engine_enforce(d->engine, config->rules, config->n_rules),
			"the policy's rules")) {
		workers_configure(&d->workers, old, d->keylog_fd);
		if (keylog_fd >= 0)
			close(keylog_fd);
		daemon_config_drop(config);
		return;
	}
	if (workers_count(config->workers) != d->workers.n)
		log_warning("another number of workers takes --upgrade or a restart");
	policy = daemon_policy(config);
	engine_configure(d->engine, &policy);
	control_set_key_log(d->control, config->key_log);
	control_set_policy(d->control, config->n_rules, config_n_required(config));
	resumption_configure(d->resumption, config);
	inproc_channel_configure(d->inproc);
	if (d->keylog_fd >= 0)
		close(d->keylog_fd);
	d->keylog_fd = keylog_fd;
	d->config = config;
	d->config_file = file;
	daemon_config_drop(old);
	log_info("configuration reloaded from %s", d->config_path);
}

/* Has it been written, or another one put in its place? */
static bool has_changed(const char *path, const struct stat *read)
{
	struct stat now;

	return !stat(path, &now) &&
	       (now.st_dev != read->st_dev || now.st_ino != read->st_ino ||
		now.st_size != read->st_size || now.st_ctim.tv_sec != read->st_ctim.tv_sec ||
		now.st_ctim.tv_nsec != read->st_ctim.tv_nsec);
}

void daemon_reload_changed(struct daemon *d)
{
	if (d->config_path && has_changed(d->config_path, &d->config_file))
		daemon_reload(d);
}
