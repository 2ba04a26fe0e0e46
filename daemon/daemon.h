/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpcryptd as a whole: all its parts, started in their order (daemon.c), configured (reload.c),
 * and handed from one process to the next (takeover.c). main() has the command line.
 *
 * What returns int gives 0 or a negative errno, and has logged it.
 */
#ifndef DAEMON_DAEMON_H
#define DAEMON_DAEMON_H

#include <stdbool.h>
#include <sys/stat.h>

#include "daemon/config.h"
#include "daemon/confine.h"
#include "daemon/control.h"
#include "daemon/host.h"
#include "daemon/inproc_channel.h"
#include "daemon/loop.h"
#include "daemon/refusal.h"
#include "daemon/resumption.h"
#include "daemon/succession.h"
#include "daemon/workers.h"
#include "engine/engine.h"

struct daemon {
	const char *config_path;
	struct stat config_file; /* there, as it was when it was read */
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
	double stopped, drain_until; /* since when, and until when at the latest */
	double yielded;		     /* when another one took over; 0: none has */
};

/* Everything up to the moment at which connections are taken. */
int daemon_start(struct daemon *d);

/* Ends it from wherever daemon_start() came to. */
void daemon_stop(struct daemon *d);

/* What only a daemon does that serves. */
int daemon_serve(struct daemon *d);

/* SIGTERM: data is the daemon. */
void daemon_drain(void *data);

/* Passes on the error of a step; what: logged with it. */
int daemon_step(int error, const char *what);

/* A configuration, of the defaults if path is NULL; the caller's, for daemon_config_drop(). NULL
 * when there is an error. *ret_file: the file, as it was when that began. */
struct config *daemon_config_load(const char *path, struct stat *ret_file);
void daemon_config_drop(struct config *c);

/* What the engine is to know of it; points into it. */
struct engine_policy daemon_policy(const struct config *c);

/* Opens the key log, if it names one; *ret_fd is the caller's, or -1. */
int daemon_keylog_open(const struct config *c, int *ret_fd);

/* SIGHUP: a configuration with an error changes nothing. */
void daemon_reload(struct daemon *d);

/* The same if the file is not as it was when it was read: another daemon may have been told meanwhile. */
void daemon_reload_changed(struct daemon *d);

/* What the running daemon leaves, before anything else. */
int daemon_inherit(struct daemon *d);

/* Serves in place of another daemon, from one moment to the next. */
int daemon_take_over(struct daemon *d);

/* For succession_init(), with the daemon as its data. */
extern const struct succession_ops daemon_succession_ops;

#endif
