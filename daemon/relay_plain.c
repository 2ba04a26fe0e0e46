// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/relay.h"

#define PLAIN_BUDGET 16
#define PLAIN_CHUNK  65536 /* a pipe's capacity */

#define PLAIN_BLOCKED 2

struct plain_direction {
	struct flow_splice *splice;
	const struct flow_end *end; /* the one of from */
	int from, to;
	const char *from_gone, *to_gone; /* reasons */
	uint64_t *count;
};

static int blocked_or_gone(struct relay_outcome *ret, const char *gone)
{
	if (errno == EAGAIN || errno == EINTR)
		return PLAIN_BLOCKED;
	ret->reason = errno == ETIMEDOUT ? "timeout" : gone;
	return -1;
}

/* splice() stops before the byte at TCP's urgent mark, for ever: that byte goes by itself. It is
 * taken when it could be sent, because nothing keeps it meanwhile. */
static int plain_urgent(const struct plain_direction *d, struct relay_outcome *ret)
{
	char byte;
	ssize_t n = recv(d->from, &byte, 1, MSG_PEEK);

	if (n < 0)
		return blocked_or_gone(ret, d->from_gone);
	if (n == 0) {
		d->splice->eof = true;
		return 0;
	}
	if (send(d->to, &byte, 1, MSG_OOB | MSG_NOSIGNAL) < 0)
		return blocked_or_gone(ret, d->to_gone);
	if (recv(d->from, &byte, 1, 0) < 0)
		return blocked_or_gone(ret, d->from_gone);
	++*d->count;
	return 0;
}

static int plain_step(struct flow *f, const struct plain_direction *d, struct relay_outcome *ret)
{
	struct flow_splice *s = d->splice;
	ssize_t n;

	while (s->inside) {
		n = splice(s->pipe.read_fd, NULL, d->to, NULL, s->inside,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		if (n < 0)
			return blocked_or_gone(ret, d->to_gone);
		s->inside -= n;
		*d->count += n;
	}
	if (s->eof) {
		if (relay_end_failed(d->end, ret, d->from_gone))
			return -1;
		if (!s->shut)
			shutdown(d->to, SHUT_WR);
		s->shut = true;
		return PLAIN_BLOCKED;
	}
	if (relay_at_mark(d->from))
		return plain_urgent(d, ret);
	if (s->pipe.read_fd < 0 && pipe_get(&f->worker->pipes, &s->pipe)) {
		ret->reason = "daemon";
		return -1;
	}
	n = splice(d->from, NULL, s->pipe.write_fd, NULL, PLAIN_CHUNK,
		   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n < 0)
		return blocked_or_gone(ret, d->from_gone);
	s->inside = n;
	/* Nothing comes before an urgent byte that has only just arrived, and its end. */
	s->eof = !n && !relay_at_mark(d->from);
	return 0;
}

static int plain_direction_run(struct flow *f, const struct plain_direction *d,
			       struct relay_outcome *ret)
{
	int outcome = 0;

	for (int i = 0; i < PLAIN_BUDGET && !outcome; i++)
		outcome = plain_step(f, d, ret);
	if (!outcome)
		ret->again = true;
	if (!d->splice->inside)
		pipe_put(&f->worker->pipes, &d->splice->pipe, 0);
	return outcome == PLAIN_BLOCKED ? 0 : outcome;
}

int relay_plain(struct flow *f, struct relay_outcome *ret)
{
	struct plain_direction in = { &f->plain_in,	  &f->net, f->net.source.fd,
				      f->app.source.fd,	  "reset", "local-reset",
				      &f->record.bytes_in };
	struct plain_direction out = { &f->plain_out,	    &f->app,	   f->app.source.fd,
				       f->net.source.fd,    "local-reset", "reset",
				       &f->record.bytes_out };
	int outcome;

	if (!f->app.open || !f->net.open)
		return 0;
	outcome = plain_direction_run(f, &in, ret);
	if (!outcome)
		outcome = plain_direction_run(f, &out, ret);
	if (outcome)
		return outcome;
	return f->plain_in.shut && f->plain_out.shut ? RELAY_DONE : 0;
}
