// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/call.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "daemon/container.h"

static void called(struct loop_source *source, uint32_t events)
{
	struct call *c = container_of(source, struct call, source);
	eventfd_t n;

	if (eventfd_read(source->fd, &n))
		return;
	c->run(c->data);
	sem_post(&c->done);
}

int call_open(struct call *c, struct loop *loop)
{
	int error;

	c->source.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (c->source.fd < 0) {
		c->source.fd = 0;
		return -errno;
	}
	c->loop = loop;
	c->source.handler = called;
	sem_init(&c->done, 0, 0);
	error = loop_add(loop, &c->source, EPOLLIN);
	if (error)
		call_close(c);
	return error;
}

void call_close(struct call *c)
{
	if (!c->source.fd)
		return;
	loop_remove(c->loop, &c->source);
	close(c->source.fd);
	sem_destroy(&c->done);
	c->source.fd = 0;
}

void call_run(struct call *c, void (*run)(void *data), void *data)
{
	c->run = run;
	c->data = data;
	eventfd_write(c->source.fd, 1);
	while (sem_wait(&c->done) && errno == EINTR)
		;
}
