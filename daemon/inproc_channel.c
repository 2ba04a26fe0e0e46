// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/clock.h"
#include "daemon/container.h"
#include "daemon/log.h"

#define BACKLOG	      512
#define ACCEPT_BUDGET 64
#define TURN_SECONDS  0.005 /* all processes together, or one packet, of a turn of the loop */

struct inproc_process {
	TAILQ_ENTRY(inproc_process) entry;
	TAILQ_ENTRY(inproc_process) ready_entry;
	struct loop_source source;
	struct inproc_channel *channel;
	struct visitor visitor;
	struct inproc_holds holds;
	bool ready; /* there may be something to read */
	bool asked, given_up;
	bool silent; /* answers no questions */
};

static void answered(struct inproc_process *p)
{
	struct inproc_channel *c = p->channel;

	if (p->asked && !p->given_up && !--c->n_asked)
		eventfd_write(c->answered_fd, 1);
	p->asked = p->given_up = false;
}

static void process_unlink(struct inproc_process *p)
{
	struct inproc_channel *c = p->channel;

	loop_remove(c->worker->loop, &p->source);
	close(p->source.fd);
	answered(p);
	if (p->ready)
		TAILQ_REMOVE(&c->ready, p, ready_entry);
	TAILQ_REMOVE(&c->processes, p, entry);
	c->n_processes--;
	intake_count(c->worker->intake, 0, -1);
	free(p);
}

static void process_gone(struct inproc_process *p)
{
	inproc_conns_gone(&p->channel->conns, &p->holds, loop_now(p->channel->worker->loop));
	process_unlink(p);
}

/* Who sent it: by what the kernel says of each packet, because users change. */
static bool sender(struct msghdr *msg, struct ucred *ret)
{
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(msg);

	if (!cmsg || cmsg->cmsg_level != SOL_SOCKET || cmsg->cmsg_type != SCM_CREDENTIALS ||
	    cmsg->cmsg_len != CMSG_LEN(sizeof(*ret)))
		return false;
	memcpy(ret, CMSG_DATA(cmsg), sizeof(*ret));
	return true;
}

/* The message at the front of what is left of a packet; what its sender did not know is zero. Its
 * size, or 0: it is none. */
static size_t message_read(const uint8_t *from, size_t len, struct message *ret)
{
	uint16_t size;

	memset(ret, 0, sizeof(*ret));
	if (len < sizeof(size))
		return 0;
	memcpy(&size, from, sizeof(size));
	if (size < MESSAGE_SIZE_MIN || size > len)
		return 0;
	memcpy(ret, from, size < sizeof(*ret) ? size : sizeof(*ret));
	return size;
}

static void told(struct inproc_process *p, const struct ucred *from, const struct message *m)
{
	p->silent |= m->silent;
	if (m->type == MESSAGE_ANSWERED)
		answered(p);
	else
		inproc_conns_told(&p->channel->conns, &p->holds, from->uid, from->pid, m,
				  loop_now(p->channel->worker->loop));
}

/* One packet: 0, -EAGAIN, or the end of the process. */
static int receive(struct inproc_process *p)
{
	uint8_t *packet = p->channel->packet;
	union {
		struct cmsghdr align;
		char room[CMSG_SPACE(sizeof(struct ucred))];
	} control;
	struct iovec iov = { packet, sizeof(p->channel->packet) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = &control,
			      .msg_controllen = sizeof(control) };
	struct message m;
	struct ucred from;
	size_t size;
	ssize_t n = recvmsg(p->source.fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (!n || msg.msg_flags & MSG_TRUNC || !sender(&msg, &from))
		return -EPROTO;
	for (ssize_t at = 0; at < n; at += size) {
		size = message_read(packet + at, n - at, &m);
		if (!size)
			break;
		told(p, &from, &m);
	}
	explicit_bzero(packet, n);
	explicit_bzero(&m, sizeof(m));
	return size ? 0 : -EPROTO;
}

static void process_ready(struct loop_source *source, uint32_t events)
{
	struct inproc_process *p = container_of(source, struct inproc_process, source);
	struct inproc_channel *c = p->channel;

	if (!p->ready)
		TAILQ_INSERT_TAIL(&c->ready, p, ready_entry);
	p->ready = true;
	loop_queue(c->worker->loop, &c->reading);
}

/* One packet of each in turn. Connections are on this thread, too: who floods it with messages must not
 * hold them up. */
static void processes_read(struct loop_work *work)
{
	struct inproc_channel *c = container_of(work, struct inproc_channel, reading);
	double end = clock_monotonic() + TURN_SECONDS;
	struct inproc_process *p;

	while ((p = TAILQ_FIRST(&c->ready))) {
		int r = receive(p);

		TAILQ_REMOVE(&c->ready, p, ready_entry);
		p->ready = !r;
		if (!r)
			TAILQ_INSERT_TAIL(&c->ready, p, ready_entry);
		else if (r != -EAGAIN)
			process_gone(p);
		if (clock_monotonic() >= end)
			break;
	}
	if (!TAILQ_EMPTY(&c->ready))
		loop_queue(c->worker->loop, work);
}

static bool has_room(const struct inproc_channel *c, const struct visitor *visitor)
{
	const struct inproc_process *p;
	size_t n_others = 0, n_own = 0;

	if (c->n_processes >= INPROC_PROCESSES_MAX || worker_is_full(c->worker))
		return false;
	if (visitor->trusted)
		return true;
	TAILQ_FOREACH (p, &c->processes, entry) {
		n_others += !p->visitor.trusted;
		n_own += p->visitor.uid == visitor->uid;
	}
	return n_others < INPROC_PROCESSES_OTHERS_MAX && n_own < INPROC_PROCESSES_USER_MAX;
}

static void process_new(struct inproc_channel *c, int fd)
{
	struct inproc_process *p;
	struct visitor visitor;
	int one = 1;

	visitor_read(fd, &visitor);
	p = has_room(c, &visitor) ? calloc(1, sizeof(*p)) : NULL;
	if (!p || setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one))) {
		free(p);
		close(fd);
		return;
	}
	p->channel = c;
	p->visitor = visitor;
	p->source.fd = fd;
	p->source.handler = process_ready;
	LIST_INIT(&p->holds);
	if (loop_add(c->worker->loop, &p->source, EPOLLIN | EPOLLET)) {
		free(p);
		close(fd);
		return;
	}
	TAILQ_INSERT_TAIL(&c->processes, p, entry);
	c->n_processes++;
	intake_count(c->worker->intake, 0, 1);
}

static void listener_ready(struct loop_source *source, uint32_t events)
{
	struct inproc_channel *c = container_of(source, struct inproc_channel, listener);

	for (int i = 0; i < ACCEPT_BUDGET; i++) {
		int fd = accept4(source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			process_new(c, fd);
		} else if (errno == EAGAIN) {
			return;
		} else if (worker_is_exhausted(c->worker, -errno)) {
			/* Who waits in the queue must not wake the loop for ever. */
			loop_remove(c->worker->loop, &c->listener);
			c->resting = true;
			return;
		}
	}
}

void inproc_channel_tick(struct inproc_channel *c)
{
	inproc_cache_tick(c->cache, c->worker->alive);
	inproc_conns_tick(&c->conns, c->worker->alive);
	if (c->resting)
		c->resting = loop_add(c->worker->loop, &c->listener, EPOLLIN) != 0;
}

/* ---- by the main thread ---- */

static int address_of(const char *run_dir, struct sockaddr_un *ret)
{
	*ret = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (size_t)snprintf(ret->sun_path, sizeof(ret->sun_path), "%s/%s", run_dir,
				MESSAGE_SOCKET_NAME) < sizeof(ret->sun_path)
		       ? 0
		       : -ENAMETOOLONG;
}

/* SO_PASSCRED already here: what is sent before accept() shall tell its sender, too. */
static int listener_make(const char *run_dir, int *ret)
{
	struct sockaddr_un sun;
	int error = address_of(run_dir, &sun), one = 1, fd;
	mode_t mask;

	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The run directory is locked: what stands there is a dead daemon's. */
	unlink(sun.sun_path);
	mask = umask(0111);
	error = setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ||
				bind(fd, (struct sockaddr *)&sun, sizeof(sun)) ||
				listen(fd, BACKLOG)
			? -errno
			: 0;
	umask(mask);
	if (error)
		close(fd);
	else
		*ret = fd;
	return error;
}

int inproc_channel_open(struct worker *w, const char *run_dir, int listener,
			struct inproc_channel **ret)
{
	struct inproc_channel *c = calloc(1, sizeof(*c));
	int error = 0;

	if (!c) {
		if (listener >= 0)
			close(listener);
		return -ENOMEM;
	}
	c->worker = w;
	c->listener.fd = listener;
	c->listener.handler = listener_ready;
	c->reading.run = processes_read;
	TAILQ_INIT(&c->processes);
	TAILQ_INIT(&c->ready);
	c->cache = inproc_cache_new(engine_vault(w->engine), w->crypto, w->config,
				    loop_now(w->loop));
	inproc_conns_init(&c->conns, w->ledger, c->cache);
	c->dir_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	c->answered_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->dir_fd < 0 || c->answered_fd < 0)
		error = -errno;
	else if (!c->cache)
		error = -ENOMEM;
	else if (listener < 0)
		error = listener_make(run_dir, &c->listener.fd);
	if (!error && listener < 0)
		error = inproc_channel_serve(c);
	if (error) {
		inproc_channel_close(c);
		return error;
	}
	w->inproc = c;
	*ret = c;
	return 0;
}

void inproc_channel_close(struct inproc_channel *c)
{
	if (!c)
		return;
	inproc_conns_forget(&c->conns);
	while (!TAILQ_EMPTY(&c->processes))
		process_unlink(TAILQ_FIRST(&c->processes));
	loop_unqueue(c->worker->loop, &c->reading);
	if (c->serves) {
		loop_remove(c->worker->loop, &c->listener);
		unlinkat(c->dir_fd, MESSAGE_SOCKET_NAME, 0);
	}
	inproc_cache_free(c->cache);
	c->worker->inproc = NULL;
	if (c->listener.fd >= 0)
		close(c->listener.fd);
	if (c->answered_fd >= 0)
		close(c->answered_fd);
	if (c->dir_fd >= 0)
		close(c->dir_fd);
	free(c);
}

/* Programs connect again, to the other daemon, and tell of all that lives. */
static void yield(void *data)
{
	struct inproc_channel *c = data;

	loop_remove(c->worker->loop, &c->listener);
	c->serves = c->resting = false;
	inproc_cache_retire(c->cache);
	inproc_conns_forget(&c->conns);
	while (!TAILQ_EMPTY(&c->processes))
		process_unlink(TAILQ_FIRST(&c->processes));
}

void inproc_channel_yield(struct inproc_channel *c)
{
	worker_call(c->worker, yield, c);
}

static void serve(void *data)
{
	struct inproc_channel *c = data;

	inproc_cache_configure(c->cache, c->worker->config);
	c->serves = !loop_add(c->worker->loop, &c->listener, EPOLLIN);
}

int inproc_channel_serve(struct inproc_channel *c)
{
	worker_call(c->worker, serve, c);
	return c->serves ? 0 : -ENOMEM;
}

static void flush(void *data)
{
	struct inproc_channel *c = data;

	inproc_cache_flush(c->cache);
}

void inproc_channel_flush(struct inproc_channel *c)
{
	worker_call(c->worker, flush, c);
}

static void configure(void *data)
{
	struct inproc_channel *c = data;

	if (c->serves)
		inproc_cache_configure(c->cache, c->worker->config);
}

void inproc_channel_configure(struct inproc_channel *c)
{
	worker_call(c->worker, configure, c);
}

struct asking {
	struct inproc_channel *channel;
	const struct visitor *visitor;
	size_t n;
};

static bool concerns(const struct inproc_process *p, const struct visitor *visitor)
{
	const struct inproc_hold *h;

	LIST_FOREACH(h, &p->holds, of_process)
	if (visitor_may_see(visitor, &h->conn->record))
		return true;
	return false;
}

static bool is_asked(const struct inproc_process *p, const struct message_question *question)
{
	return send(p->source.fd, question, sizeof(*question), MSG_DONTWAIT | MSG_NOSIGNAL) ==
	       sizeof(*question);
}

static void ask(void *data)
{
	static const struct message_question question = { .what = MESSAGE_ASK_COUNTS };
	struct asking *a = data;
	struct inproc_process *p;

	TAILQ_FOREACH (p, &a->channel->processes, entry) {
		if (p->asked || p->silent || !concerns(p, a->visitor) || !is_asked(p, &question))
			continue;
		p->asked = true;
		a->channel->n_asked++;
	}
	a->n = a->channel->n_asked;
}

bool inproc_channel_ask(struct inproc_channel *c, const struct visitor *visitor)
{
	struct asking a = { c, visitor, 0 };

	worker_call(c->worker, ask, &a);
	return a.n;
}

static void give_up(void *data)
{
	struct inproc_channel *c = data;
	struct inproc_process *p;

	TAILQ_FOREACH (p, &c->processes, entry)
		p->given_up = p->asked;
	c->n_asked = 0;
}

void inproc_channel_give_up(struct inproc_channel *c)
{
	worker_call(c->worker, give_up, c);
}

/* All that have it: one may be stopped. */
bool inproc_channel_prove(struct inproc_channel *c, const struct inproc_conn *conn)
{
	const struct message_question question = { .what = MESSAGE_ASK_PROOF, .id = conn->id };
	const struct inproc_hold *h;
	struct inproc_process *p;
	bool any = false;

	TAILQ_FOREACH (p, &c->processes, entry)
		LIST_FOREACH(h, &p->holds, of_process)
	if (h->conn == conn && !p->silent)
		any |= is_asked(p, &question);
	return any;
}
