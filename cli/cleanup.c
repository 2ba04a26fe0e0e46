/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt cleanup: removes what a daemon that crashed has left. */
#include "command.h"
#include "control.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/cleanup.h"
#include "inproc/message.h"

static const char *plural(size_t n)
{
	return n == 1 ? "" : "s";
}

static void print(const struct cleanup *c, bool stale)
{
	if (c->filters)
		printf("removed %zu TC filter%s\n", c->filters, plural(c->filters));
	if (stale)
		puts("removed the control socket");
	if (c->claim)
		puts("removed the lock of a daemon that is gone");
	if (c->gone_guards)
		printf("removed the guard%s of %zu network namespace%s that no longer exist%s\n",
		       plural(c->gone_guards), c->gone_guards, plural(c->gone_guards),
		       c->gone_guards == 1 ? "s" : "");
	if (c->guard_removed)
		puts("removed the guard: what requires encryption is plain from now on");
	else if (c->guard_found)
		puts("left the guard, which refuses what policy requires to be encrypted while no "
		     "tcpcryptd runs; --guard removes it");
	else if (!c->filters && !stale && !c->claim && !c->gone_guards)
		puts("there was nothing to remove");
}

/* Nobody answers: a daemon in another namespace may well have the same run directory. */
static bool socket_is_stale(const char *path, int type)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool stale;

	if (fd < 0 ||
	    (size_t)snprintf(to.sun_path, sizeof(to.sun_path), "%s", path) >= sizeof(to.sun_path)) {
		if (fd >= 0)
			close(fd);
		return false;
	}
	stale = connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno == ECONNREFUSED;
	close(fd);
	return stale;
}

int cleanup_main(const struct command_options *options, char **arguments)
{
	char path[REPORT_MAX];
	struct cleanup c;
	bool stale;
	int error;

	if (geteuid())
		return report_error(options, "only root can clean up");
	error = cleanup(options->guard, &c);
	if (error == -EBUSY)
		return report_error(options, "a tcpcryptd runs in this network namespace; end it "
					     "first");
	if (error)
		return report_error(options, "cleaning up failed: %s", strerror(-error));
	snprintf(path, sizeof(path), "%s/" MESSAGE_SOCKET_NAME, options->run_dir);
	if (socket_is_stale(path, SOCK_SEQPACKET))
		unlink(path);
	snprintf(path, sizeof(path), "%s/" CONTROL_SOCKET, options->run_dir);
	stale = socket_is_stale(path, SOCK_STREAM) && !unlink(path);
	if (options->json)
		report_json(json_pack("{s:I, s:b, s:b, s:I, s:s}", "filters", (json_int_t)c.filters,
				      "control_socket", stale, "lock", c.claim, "gone_guards",
				      (json_int_t)c.gone_guards, "guard",
				      c.guard_removed ? "removed"
				      : c.guard_found ? "left"
						      : "none"));
	else
		print(&c, stale);
	return COMMAND_DONE;
}
