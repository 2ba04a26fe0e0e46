// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/carry.h"
#include "daemon/container.h"
#include "daemon/flow.h"
#include "daemon/incoming.h"
#include "daemon/outgoing.h"
#include "daemon/worker.h"

#define BACKLOG	      4096
#define BIND_TRIES    64
#define ACCEPT_BUDGET 64

/* For local programs: any address of the loopback network, but only over lo. */
static int bind_lo(int fd, struct shared_endpoint *e)
{
	memset(e->addr + 12, 0, 4);
	return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "lo", sizeof("lo"));
}

/* join: the port is that of other workers' listeners; otherwise it must be nobody's. */
static int bind_loopback(int family, uint16_t port, bool steered, bool join)
{
	struct shared_endpoint loopback = { .port = port };
	struct sockaddr_storage ss;
	socklen_t len;
	int one = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (family == AF_INET)
		memcpy(loopback.addr, "\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\0\0\1", 16);
	else
		loopback.addr[15] = 1;
	if (family == AF_INET && !steered && bind_lo(fd, &loopback)) {
		int error = -errno;

		close(fd);
		return error;
	}
	len = address_to_sockaddr(&loopback, &ss);
	/* Accepted connections sit on the servers' ports: they must not keep a server that
	 * restarts from binding its port (with SO_REUSEADDR, as servers do). */
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (join)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (!steered)
		carry_hops(fd, family);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&ss, len)) {
		int error = -errno;

		close(fd);
		return error;
	}
	/* Now, so that others' sockets which have it are not joined. */
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	return fd;
}

/*
 * The programs' port outlives a daemon that is killed: their SYNs go on being sent there, and
 * whoever else has it by then is taken for the other host. So it is one that only root can have, of
 * those that no service has; where all are taken, or for want of the right, the kernel's choice: 0.
 */
static uint16_t programs_port(unsigned int i)
{
	static const uint16_t ports[] = { 1002, 1003, 1004, 1005, 1006, 1007, 1008,
					  1009, 1011, 1012, 1013, 1014, 1015, 1016,
					  1017, 1018, 1019, 1020, 1023 };
	const unsigned int n = sizeof(ports) / sizeof(ports[0]);

	/* Not the one of the daemon before. */
	return i < n ? ports[((unsigned int)getpid() + i) % n] : 0;
}

int listener_open(struct listener *l, bool steered, uint16_t port)
{
	memset(l, 0, sizeof(*l));
	l->v4.fd = l->v6.fd = -1;
	l->steered = steered;
	for (unsigned int i = 0; i < (port ? 1 : BIND_TRIES); i++) {
		uint16_t wanted = port || steered ? port : programs_port(i);

		listener_close(l);
		l->v4.fd = bind_loopback(AF_INET, wanted, steered, port);
		if (l->v4.fd < 0 && wanted && !port)
			continue;
		if (l->v4.fd < 0)
			return l->v4.fd;
		l->port = address_local(l->v4.fd).port;
		l->v6.fd = bind_loopback(AF_INET6, l->port, steered, port);
		if (l->v6.fd >= 0)
			return 0;
		if (l->v6.fd == -EAFNOSUPPORT || l->v6.fd == -EADDRNOTAVAIL) {
			l->v6.fd = -1;
			return 0;
		}
	}
	listener_close(l);
	return -EADDRINUSE;
}

static void accepted(struct listener *l, int fd, const struct sockaddr_storage *ss)
{
	/* As the other end sees it. */
	struct shared_tuple ends = { address_from_sockaddr(ss), address_local(fd) };

	if (!l->steered)
		outgoing_accepted(l->worker, fd, &ends);
	else if (ends.remote.port == l->port && address_is_loopback(&ends.remote))
		flow_refuse(fd); /* came here by itself: a steered one keeps its destination */
	else
		incoming_accepted(l->worker, fd, &ends);
}

/* What waits in the queue waits on, and must not wake the loop for ever. */
static void rest(struct listener *l)
{
	if (l->resting)
		return;
	l->resting = true;
	loop_remove(l->worker->loop, &l->v4);
	loop_remove(l->worker->loop, &l->v6);
}

/* Accepts up to n. */
static void take(struct listener *l, int listen_fd, int n)
{
	for (int i = 0; i < n; i++) {
		struct sockaddr_storage ss = {};
		socklen_t len = sizeof(ss);
		int fd;

		/* Programs' connections have their flow, and so their place, since the SYN. */
		if (l->steered && worker_is_full(l->worker)) {
			rest(l);
			return;
		}
		fd = accept4(listen_fd, (struct sockaddr *)&ss, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (fd >= 0) {
			accepted(l, fd, &ss);
		} else if (worker_is_exhausted(l->worker, -errno)) {
			rest(l);
			return;
		} else if (errno == EAGAIN) {
			return;
		}
		/* Otherwise it is that connection's error. */
	}
}

void listener_take(struct listener *l, bool v6, int n)
{
	const struct loop_source *source = v6 ? &l->v6 : &l->v4;

	if (!l->resting && source->fd > 0)
		take(l, source->fd, n);
}

static void ready(struct listener *l, int listen_fd)
{
	take(l, listen_fd, ACCEPT_BUDGET);
}

static void ready_v4(struct loop_source *source, uint32_t events)
{
	ready(container_of(source, struct listener, v4), source->fd);
}

static void ready_v6(struct loop_source *source, uint32_t events)
{
	ready(container_of(source, struct listener, v6), source->fd);
}

static int listen_on(struct listener *l, const struct loop_source *source)
{
	int save_syn = 1, none = 0, one = 1;
	int error = 0;

	if (source->fd <= 0)
		return 0;
	if (!l->steered)
		flow_prepare_app(source->fd);
	/* Urgent bytes stay in the stream, or they would be lost. */
	setsockopt(source->fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	/* Frames are written whole: waiting for more could only delay them. */
	setsockopt(source->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	/* The ACK's hook negotiates from the SYN. */
	if (l->steered &&
	    setsockopt(source->fd, IPPROTO_TCP, TCP_SAVE_SYN, &save_syn, sizeof(save_syn)))
		return -errno;
	if (l->steered)
		error = engine_mark_steered(l->worker->engine, source->fd);
	if (error)
		return error;
	if (listen(source->fd, BACKLOG))
		return -errno;
	/*
	 * listen() enables Fast Open where a sysctl says so for everybody. Without it TCP drops a
	 * SYN's data, acknowledges none of it and keeps nothing: 8547-4.7-5, 8547-4.7-6,
	 * 8547-4.7-7, 8547-4.7-8, 8547-4.7-9. (The kernel may lack Fast Open altogether.)
	 */
	setsockopt(source->fd, IPPROTO_TCP, TCP_FASTOPEN, &none, sizeof(none));
	return 0;
}

int listener_listen(struct listener *l, struct worker *w)
{
	int error;

	l->worker = w;
	l->v4.handler = ready_v4;
	l->v6.handler = ready_v6;
	error = listen_on(l, &l->v4);
	return error ? error : listen_on(l, &l->v6);
}

static int start(struct listener *l, struct loop_source *source)
{
	struct worker *w = l->worker;
	int none = 0;
	int error;

	if (source->fd <= 0)
		return 0;
	/* The accepted ones, which sit on the servers' ports, must not have it: bind() would
	 * take them for a leave to share the port. */
	setsockopt(source->fd, SOL_SOCKET, SO_REUSEPORT, &none, sizeof(none));
	error = engine_lead_to(w->engine, w->slot, source->fd, !l->steered, source == &l->v6);
	return error ? error : loop_add(w->loop, source, EPOLLIN);
}

int listener_start(struct listener *l)
{
	int error = start(l, &l->v4);

	return error ? error : start(l, &l->v6);
}

void listener_resume(struct listener *l)
{
	struct loop_source *const sources[] = { &l->v4, &l->v6 };

	if (!l->resting)
		return;
	l->resting = false;
	for (size_t i = 0; i < 2; i++) {
		if (sources[i]->fd <= 0 || !loop_add(l->worker->loop, sources[i], EPOLLIN))
			continue;
		/* Both or none: one that is there already could not be added the next time. */
		rest(l);
		return;
	}
}

static void source_close(struct listener *l, struct loop_source *source)
{
	if (source->fd <= 0)
		return;
	if (l->worker)
		loop_remove(l->worker->loop, source);
	close(source->fd);
	source->fd = -1;
}

void listener_close(struct listener *l)
{
	source_close(l, &l->v4);
	source_close(l, &l->v6);
}
