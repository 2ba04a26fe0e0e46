// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/relay.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* How often a direction may read before others get their turn. */
#define RELAY_BUDGET 16

/* What came from an end that is gone waits so long for the other end to take it. */
#define DRAIN_SECONDS 120

/* Between the peer's FINp and its FIN, which may be lost as well. */
#define FIN_SECONDS 120

/* A program that closed lingers in the kernel for a minute (tcp_fin_timeout); then a probe is
 * answered with RST. */
#define APP_IDLE_SECONDS 60

int relay_fail(struct relay_outcome *ret, const char *reason)
{
	ret->reason = reason;
	return -1;
}

bool relay_is_broken(int error)
{
	return error == ECONNRESET || error == EPIPE;
}

static void end_gone(struct flow *f, struct flow_end *end, int error)
{
	/* The first one tells; without it on the socket each later call would have EPIPE. */
	if (end->broken)
		error = end->broken;
	/* A RST behind FIN. */
	if (!end->gone)
		end->fin = error == EPIPE;
	end->gone = true;
	end->readable = true;
	if (f->gone_reason)
		return;
	/* If it was neither RST nor an administrator, then nobody answered, whatever ICMP or a route
	 * of this host said of that. */
	if (!relay_is_broken(error) && error != ECONNABORTED)
		f->gone_reason = "timeout";
	else
		f->gone_reason = end == &f->net ? "reset" : "local-reset";
}

int relay_call_failed(struct flow *f, struct flow_end *end)
{
	if (errno == EAGAIN || errno == EINTR)
		return RELAY_BLOCKED;
	/* No memory for a page of ours. */
	if (errno == EFAULT)
		return relay_starve(f);
	end_gone(f, end, errno);
	return RELAY_ENDED;
}

void relay_end_was_read(struct flow_end *end, ssize_t n, size_t room, bool sure)
{
	bool all = n < 0 ? errno == EAGAIN : (size_t)n < room && !end->urgent;

	if (all && (n < 0 || !end->ending))
		end->readable = false;
	end->doubtful = all && n > 0 && !sure;
	/* TCP has put FIN behind all that comes before it. */
	if (all && n > 0 && end->finished)
		end->empty = true;
}

bool relay_at_mark(int fd)
{
	int mark = 0;

	return !ioctl(fd, SIOCATMARK, &mark) && mark;
}

bool relay_end_is_gone(struct flow *f, struct flow_end *end)
{
	if (!end->gone && end->broken)
		end_gone(f, end, end->broken);
	return end->gone;
}

bool relay_end_is_cut(struct flow *f, struct flow_end *end)
{
	return relay_end_is_gone(f, end) && !end->fin;
}

bool relay_end_failed(struct flow *f, struct flow_end *end)
{
	socklen_t len = sizeof(int);
	int error = end->broken;

	if (!error && (!end->hung ||
		       getsockopt(end->source.fd, SOL_SOCKET, SO_ERROR, &error, &len) || !error))
		return false;
	end_gone(f, end, error);
	return true;
}

/* Has everything been sent that was written, or that ever will be? Closing with RST takes back what has
 * not; a connection that has failed meanwhile keeps its count of it for ever. */
static bool end_has_sent(const struct flow_end *end)
{
	int unsent = 0;

	return end->hung || ioctl(end->source.fd, SIOCOUTQNSD, &unsent) || !unsent;
}

int relay_conclude(struct flow *f, bool in_ended, bool out_ended, struct relay_outcome *ret)
{
	bool drained = true;

	if (!f->gone_reason)
		return 0;
	if (!f->net.gone)
		drained = out_ended && end_has_sent(&f->net);
	else if (!f->app.gone)
		drained = in_ended && f->app.open && end_has_sent(&f->app);
	if (drained)
		return relay_fail(ret, f->gone_reason);
	if (!f->waiting)
		flow_set_deadline(f, DRAIN_SECONDS);
	return 0;
}

int relay_starve(struct flow *f)
{
	f->starved = true;
	worker_is_exhausted(f->worker, -ENOMEM);
	return RELAY_BLOCKED;
}

static int direction(struct flow *f, int (*step)(struct flow *, struct relay_outcome *),
		     struct relay_outcome *ret, bool *ret_ended)
{
	int outcome = 0;

	for (int i = 0; i < RELAY_BUDGET && !outcome; i++)
		outcome = step(f, ret);
	if (!outcome)
		ret->again = true;
	*ret_ended = outcome == RELAY_ENDED;
	return outcome < 0 ? outcome : 0;
}

int relay_encrypted(struct flow *f, struct relay_outcome *ret)
{
	struct flow_outward *out = &f->outward;
	struct flow_inward *in = &f->inward;
	bool in_ended, out_ended;
	int outcome;

	/* Inward first: it may bring keys, or a key update that must be answered. */
	outcome = direction(f, relay_inward_step, ret, &in_ended);
	if (!outcome)
		outcome = direction(f, relay_outward_step, ret, &out_ended);
	if (!outcome)
		outcome = relay_conclude(f, in_ended, out_ended, ret);
	if (outcome)
		return outcome;
	if (in->start == in->end && !in->plain_n)
		relay_inward_release(f);
	if (out->start == out->end)
		relay_outward_release(f);
	if (!in->shut || !out->shut || f->gone_reason)
		return 0;
	/* Whatever comes between FINp and FIN is an error (decision D11). */
	if (!in->fin && !f->waiting)
		flow_set_deadline(f, FIN_SECONDS);
	return in->fin ? RELAY_DONE : 0;
}

/* The app has ended its stream: did it only close its half, or is nobody left who would read? TCP
 * finds out by keep-alives. Most flows have ended before this is asked. */
static void watch_app(struct flow *f)
{
	const int yes = 1, idle = APP_IDLE_SECONDS, interval = 10, probes = 3;
	int fd = f->app.source.fd;

	setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof(yes));
	f->watched = true;
}

/* epoll does not tell again of what a read has left that was short. */
static bool look_again(struct flow_end *end)
{
	bool doubtful = end->doubtful;

	end->readable |= doubtful;
	end->doubtful = false;
	return doubtful;
}

void relay_tick(struct flow *f)
{
	bool net = look_again(&f->net), app = look_again(&f->app);

	if ((f->outward.shut || f->plain_out.shut) && !f->watched && f->app.open)
		watch_app(f);
	f->inward.rekeys = 0;
	f->inward.rekey_data = 0;
	if (f->inward.throttled || f->starved || net || app)
		loop_queue(f->worker->loop, &f->again);
	f->starved = false;
}

void relay_release(struct flow *f)
{
	relay_inward_release(f);
	relay_outward_release(f);
	pipe_put(&f->worker->pipes, &f->plain_in.pipe, f->plain_in.inside);
	pipe_put(&f->worker->pipes, &f->plain_out.pipe, f->plain_out.inside);
}
