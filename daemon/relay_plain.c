// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "daemon/relay.h"

#define PLAIN_BUDGET 16
#define PLAIN_CHUNK  65536 /* a pipe's capacity */

struct plain_direction {
	struct flow_splice *splice;
	struct flow_end *from, *to;
	uint64_t *count;
};

/* splice() stops before the byte at TCP's urgent mark, for ever: that byte goes by itself. It is
 * taken when it could be sent, because nothing keeps it meanwhile. */
static int plain_urgent(struct flow *f, const struct plain_direction *d)
{
	char byte;
	ssize_t n = recv(d->from->source.fd, &byte, 1, MSG_PEEK);

	if (n < 0)
		return relay_call_failed(f, d->from);
	if (n == 0) {
		d->splice->eof = !relay_end_is_cut(f, d->from);
		return d->splice->eof ? 0 : RELAY_ENDED;
	}
	if (send(d->to->source.fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL) < 0)
		return relay_call_failed(f, d->to);
	if (recv(d->from->source.fd, &byte, 1, 0) < 0)
		return relay_call_failed(f, d->from);
	++*d->count;
	return 0;
}

static int plain_step(struct flow *f, const struct plain_direction *d)
{
	struct flow_splice *s = d->splice;
	ssize_t n;
	bool some = false;

	if (d->to->gone)
		return RELAY_ENDED;
	while (s->inside) {
		n = splice(s->pipe.read_fd, NULL, d->to->source.fd, NULL, s->inside,
			   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
		/* A splice() that has moved some keeps the error to itself that stopped it, and
		 * takes it off the socket: the next one's EPIPE says nothing of a FIN. */
		if (n < 0 && some && errno == EPIPE)
			errno = ECONNRESET;
		if (n < 0)
			return relay_call_failed(f, d->to);
		s->inside -= n;
		*d->count += n;
		some = true;
	}
	if (s->eof) {
		if (!s->shut)
			shutdown(d->to->source.fd, SHUT_WR);
		s->shut = true;
		return d->from->gone || relay_end_failed(f, d->from) ? RELAY_ENDED : RELAY_BLOCKED;
	}
	/* Not before the loop has heard of it: what the program has set on its socket before it wrote
	 * has been looked at by then. */
	if (!d->from->readable && !d->from->urgent)
		return RELAY_BLOCKED;
	if (relay_at_mark(d->from->source.fd))
		return plain_urgent(f, d);
	if (s->pipe.read_fd < 0 && pipe_get(&f->worker->pipes, &s->pipe))
		return relay_starve(f);
	n = splice(d->from->source.fd, NULL, s->pipe.write_fd, NULL, PLAIN_CHUNK,
		   SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
	if (n < 0)
		return relay_call_failed(f, d->from);
	if (!n && relay_end_is_cut(f, d->from))
		return RELAY_ENDED;
	s->inside = n;
	/* Nothing comes before an urgent byte that has only just arrived, and its end. */
	s->eof = !n && !relay_at_mark(d->from->source.fd);
	return 0;
}

static int plain_direction_run(struct flow *f, const struct plain_direction *d,
			       struct relay_outcome *ret, bool *ret_ended)
{
	int outcome = 0;

	for (int i = 0; i < PLAIN_BUDGET && !outcome; i++)
		outcome = plain_step(f, d);
	if (!outcome)
		ret->again = true;
	if (!d->splice->inside)
		pipe_put(&f->worker->pipes, &d->splice->pipe, 0);
	*ret_ended = outcome == RELAY_ENDED;
	return outcome < 0 ? outcome : 0;
}

int relay_plain(struct flow *f, struct relay_outcome *ret)
{
	struct plain_direction in = { &f->plain_in, &f->net, &f->app, &f->record.bytes_in };
	struct plain_direction out = { &f->plain_out, &f->app, &f->net, &f->record.bytes_out };
	bool in_ended, out_ended;
	int outcome;

	if (!f->app.open || !f->net.open)
		return 0;
	outcome = plain_direction_run(f, &in, ret, &in_ended);
	if (!outcome)
		outcome = plain_direction_run(f, &out, ret, &out_ended);
	if (!outcome)
		outcome = relay_conclude(f, in_ended, out_ended, ret);
	if (outcome)
		return outcome;
	return f->plain_in.shut && f->plain_out.shut && !f->gone_reason ? RELAY_DONE : 0;
}
