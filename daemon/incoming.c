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
#include "daemon/rule.h"

/* Loopback: only a server whose backlog is full lets it wait. */
#define SERVER_SECONDS 60

/* Until it is tried again whether there are ports for connections to IPv6 servers. */
#define LEAVE_SECONDS 10

/*
 * Connecting to the server's address from the same address would use up its ephemeral ports,
 * each for a minute after the connection. From 127/8 there are plenty, and the kernel uses
 * those of ended connections again. Not so for IPv6: to ::1 the kernel sends no RST in the name
 * of a socket that is gone (it looks for the way on the interface that has the server's address),
 * so a server that has closed would never be known to have.
 */
static void source_spread(const struct flow *f, int fd)
{
	struct shared_endpoint source = {};
	struct sockaddr_storage ss;
	socklen_t len;
	int one = 1;

	if (!address_is_v4(&f->record.local))
		return;
	source.addr[10] = source.addr[11] = 0xff;
	source.addr[12] = 127;
	source.addr[13] = 1 + f->record.id / 64516 % 254;
	source.addr[14] = 1 + f->record.id / 254 % 254;
	source.addr[15] = 1 + f->record.id % 254;
	len = address_to_sockaddr(&source, &ss);
	/* The port is chosen when the destination is known. */
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
	/* Without it (lo may have no address), the kernel chooses the source. */
	if (bind(fd, (struct sockaddr *)&ss, len))
		log_debug("no loopback source address: %s", strerror(errno));
}

static int server_open(struct flow *f)
{
	struct sockaddr_storage ss;
	socklen_t len = address_to_sockaddr(&f->record.local, &ss);
	int fd, error;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	flow_prepare_socket(fd);
	error = engine_mark_to_app(f->worker->engine, fd, &f->record.peer, f->record.id);
	source_spread(f, fd);
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

void incoming_accepted(struct worker *w, int fd, const struct shared_endpoint *client)
{
	struct flow *f = flow_new(w, false);

	if (!f) {
		flow_refuse(fd);
		worker_is_exhausted(w, -ENOMEM);
		return;
	}
	f->record.local = address_local(fd);
	f->record.peer = *client;
	f->required = rule_for_incoming(w->config->rules, w->config->n_rules, &f->record.local,
					client) == POLICY_REQUIRE;
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
	socklen_t len = sizeof(int);
	struct shared_endpoint peer;
	int error = 0;

	getsockopt(f->app.source.fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		flow_abort(f, "refused", ECONNRESET);
		return -error;
	}
	peer = address_peer(f->app.source.fd);
	if (!peer.port) {
		/* The other host need not wait for the server to agree on keys. */
		return f->session ? 0 : 1;
	}
	f->app.open = true;
	if (!f->session || f->established)
		flow_set_deadline(f, 0);
	flow_set_state(f, FLOW_RELAYING);
	return 0;
}
