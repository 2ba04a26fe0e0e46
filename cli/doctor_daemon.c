/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt doctor: the daemon as it tells of itself, and what it was given. */
#include "doctor.h"

#include "control.h"
#include "deadline.h"
#include "report.h"

#include <net/if.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DEFAULT_USER "tcpcrypt"

/* A connection takes two descriptors or more. */
#define FILES_MIN 4096

/* The daemon's answer to `status`, or NULL when that has been reported. */
static json_t *status_ask(struct doctor *d)
{
	struct control *control = NULL;
	struct control_line line;
	char text[REPORT_MAX];
	json_t *status = NULL;
	int error;

	error = control_open(d->options->run_dir, deadline_after(d->options->timeout_ms), &control);
	if (!error)
		error = control_send(control, json_pack("{s:s}", "command", "status"));
	if (!error)
		error = control_next(control, &line);
	if (error < 0)
		doctor_say(d, "daemon", DOCTOR_LACKS, NULL, "%s",
			   report_explain(d->options, error, text));
	else if (error || !json_is_string(json_object_get(line.object, "state")))
		doctor_say(d, "daemon", DOCTOR_LACKS, "ask again; start it again",
			   "tcpcryptd does not tell its state");
	else
		status = json_incref(line.object);
	control_free(control);
	return status;
}

static void look_at_state(struct doctor *d, const json_t *status)
{
	const char *state = json_string_value(json_object_get(status, "state"));
	bool engine_only = !strcmp(state, "engine-only");
	bool good = engine_only || !strcmp(state, "intercepting");

	doctor_say(d, "daemon", good ? DOCTOR_GOOD : DOCTOR_LACKS, "start it again", "%s%s", state,
		   engine_only
			   ? ": only programs that encrypt by themselves (tcpcrypt run) are served"
			   : "");
}

static void look_at_namespace(struct doctor *d, const json_t *engine)
{
	const json_t *told = json_object_get(engine, "netns_cookie");
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t own = 0;
	socklen_t len = sizeof(own);
	bool good = fd >= 0 && !getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &own, &len) &&
		    (uint64_t)json_integer_value(told) == own;

	if (fd >= 0)
		close(fd);
	doctor_say(d, "namespace", good ? DOCTOR_GOOD : DOCTOR_LACKS,
		   "look from there (nsenter --net), or start one here",
		   good ? "the daemon serves this network namespace"
			: "the daemon serves another network namespace");
}

static bool is_served(const json_t *interfaces, const char *name)
{
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const char *served = json_string_value(json_array_get(interfaces, i));

		if (served && !strcmp(served, name))
			return true;
	}
	return false;
}

static void look_at_interfaces(struct doctor *d, const json_t *engine)
{
	const json_t *served = json_object_get(engine, "interfaces");
	struct if_nameindex *interfaces = if_nameindex();
	bool all = true;

	for (struct if_nameindex *i = interfaces; i && i->if_index; i++) {
		if (is_served(served, i->if_name))
			continue;
		all = false;
		doctor_say(d, "interfaces", DOCTOR_LACKS, "the daemon's log says why",
			   "%s is not served: what comes in there stays plain", i->if_name);
	}
	if_freenameindex(interfaces);
	if (all)
		doctor_say(d, "interfaces", DOCTOR_GOOD, NULL, "all are served");
}

static void look_at_user(struct doctor *d, const json_t *sandbox)
{
	const char *user = json_string_value(json_object_get(sandbox, "user"));
	bool missing = sandbox ? json_is_true(json_object_get(sandbox, "user_missing"))
			       : !getpwnam(DEFAULT_USER);
	char mend[DOCTOR_TEXT_MAX];

	if (!user)
		user = DEFAULT_USER;
	snprintf(mend, sizeof(mend),
		 "useradd --system --shell /usr/sbin/nologin %s, and start tcpcryptd again", user);
	if (missing)
		doctor_say(d, "user", DOCTOR_LACKS, mend,
			   "there is no user %s for the daemon to become", user);
	else
		doctor_say(d, "user", DOCTOR_GOOD, NULL, "%s", user);
}

static void look_at_sandbox(struct doctor *d, const json_t *sandbox)
{
	if (!json_is_true(json_object_get(sandbox, "on")))
		doctor_say(d, "sandbox", DOCTOR_LACKS,
			   "remove sandbox = off from the configuration and start it again",
			   "the daemon is root with all rights");
	else if (!json_is_true(json_object_get(sandbox, "seccomp")))
		doctor_say(d, "sandbox", DOCTOR_LACKS,
			   "use a kernel with CONFIG_SECCOMP_FILTER, and no sanitizer's build",
			   "the daemon's system calls are not filtered");
	else
		doctor_say(d, "sandbox", DOCTOR_GOOD, NULL, "few rights, few system calls");
	if (json_is_true(json_object_get(sandbox, "memory_locked")))
		doctor_say(d, "memory", DOCTOR_GOOD, NULL, "locked");
	else
		doctor_say(d, "memory", DOCTOR_LACKS,
			   "start the daemon with LimitMEMLOCK=infinity, or ulimit -l unlimited",
			   "not locked: keys may be written to swap");
}

static void look_at_key_log(struct doctor *d, const json_t *path)
{
	if (json_is_string(path))
		doctor_say(d, "key-log", DOCTOR_LACKS,
			   "remove key-log from the configuration, and the file",
			   "the keys of all connections are written to %s",
			   json_string_value(path));
	else
		doctor_say(d, "key-log", DOCTOR_GOOD, NULL, "none");
}

static void look_at_files(struct doctor *d, const json_t *pid)
{
	char path[64], line[256];
	unsigned long limit = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%lld/limits", (long long)json_integer_value(pid));
	f = fopen(path, "re");
	if (!f) {
		doctor_say(d, "files", DOCTOR_UNKNOWN, "ask in the daemon's PID namespace",
			   "not looked at");
		return;
	}
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "Max open files %lu", &limit) == 1)
			break;
	fclose(f);
	doctor_say(d, "files", limit >= FILES_MIN ? DOCTOR_GOOD : DOCTOR_LACKS,
		   "start the daemon with LimitNOFILE=1048576, or ulimit -n",
		   "the daemon may open %lu; a connection takes two or more", limit);
}

void doctor_daemon(struct doctor *d)
{
	json_t *status = status_ask(d);
	const json_t *engine, *sandbox;

	sandbox = json_object_get(status, "sandbox");
	look_at_user(d, sandbox);
	if (!status)
		return;
	engine = json_object_get(status, "engine");
	look_at_state(d, status);
	look_at_namespace(d, engine);
	look_at_interfaces(d, engine);
	look_at_sandbox(d, sandbox);
	look_at_key_log(d, json_object_get(status, "key_log"));
	look_at_files(d, json_object_get(status, "pid"));
	json_decref(status);
}
