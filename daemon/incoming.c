// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/incoming.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/carry.h"
#include "daemon/log.h"
#include "daemon/negotiated.h"
#include "daemon/relay.h"
#include "daemon/rule.h"

/* Loopback: only a server whose backlog is full lets it wait. */
#define SERVER_SECONDS 60

/* Until it is tried again whether there are ports for connections to IPv6 servers. */
#define LEAVE_SECONDS 10

static int server_open(struct flow *f)
{
	struct sockaddr_storage ss;
	socklen_t len = address_to_sockaddr(&f->record.local, &ss);
	int fd, error;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	flow_prepare_app(fd);
	error = engine_mark_to_app(f->worker->engine, fd, &f->record.peer, f->record.id);
	carry_hops(fd, ss.ss_family);
	if (!error && connect(fd, (struct sockaddr *)&ss, len) && errno != EINPROGRESS)
		error = -errno;
	if (error) {
		close(fd);
		return error;
	}
	return flow_adopt(f, &f->app, fd);
}

/* To an IPv6 server there are only as many connections as ephemeral ports: there is but one address
 * to make them from. The next clients had better reach it in plain than not at all. */
static void ports_used_up(const struct flow *f)
{
	char server[ADDRESS_TEXT_MAX];

	if (address_is_v4(&f->record.local))
		return;
	address_format(&f->record.local, server);
	log_warning("no local port is left for connections to %s: for %u seconds IPv6 servers are "
		    "left alone",
		    server, LEAVE_SECONDS);
	engine_leave_servers_v6(f->worker->engine, LEAVE_SECONDS);
}

/* Without a descriptor for it now, the tick tries again: the kernel has accepted the
 * connection, and its keys can be agreed on meanwhile. */
static void server_try(struct flow *f)
{
	int error = server_open(f);

	if (error == -EADDRNOTAVAIL)
		ports_used_up(f);
	if (error && !worker_is_exhausted(f->worker, error))
		flow_abort(f, "refused", ECONNRESET);
	else
		flow_progress(f);
}

void incoming_forget(struct flow *f)
{
	struct shared_endpoint local;

	if (f->record.outgoing || f->app.open || f->app.source.fd < 0)
		return;
	local = address_local(f->app.source.fd);
	engine_forget_to_app(f->worker->engine, &local, &f->record.local);
}

void incoming_accepted(struct worker *w, int fd, const struct shared_tuple *client)
{
	struct flow *f = flow_new(w, false);

	if (!f) {
		flow_refuse(fd);
		worker_is_exhausted(w, -ENOMEM);
		return;
	}
	f->record.local = client->remote;
	f->record.peer = client->local;
	f->required = rule_for_incoming(w->config->rules, w->config->n_rules, &f->record.local,
					&f->record.peer) == POLICY_REQUIRE;
	if (flow_adopt(f, &f->net, fd)) {
		flow_abort(f, "daemon", ECONNRESET);
		return;
	}
	f->net.open = true;
	flow_set_deadline(f, SERVER_SECONDS);
	if (flow_negotiated(f))
		return;
	server_try(f);
}

void incoming_again(struct flow *f)
{
	if (f->app.source.fd < 0)
		server_try(f);
}

int incoming_server_ready(struct flow *f)
{
	struct flow_end *app = &f->app;
	socklen_t len = sizeof(int);
	int error = 0;

	if (app->ending && !app->connected)
		getsockopt(app->source.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	/* It was made and has ended since the loop's last turn: what the server said goes to the client. */
	if (relay_is_broken(error)) {
		app->connected = true;
		app->broken = error;
	} else if (error) {
		flow_abort(f, "refused", ECONNRESET);
		return -error;
	}
	if (!app->connected && (!app->ending || !address_peer(app->source.fd).port)) {
		/* The other host need not wait for the server to agree on keys. */
		return f->session ? 0 : 1;
	}
	f->app.open = true;
	if (!f->session || f->established)
		flow_set_deadline(f, 0);
	flow_set_state(f, FLOW_RELAYING);
	return 0;
}
