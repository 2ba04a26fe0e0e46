// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/relay.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "daemon/view.h"

/* How often a direction may read before others get their turn. */
#define RELAY_BUDGET 16

/* A frame is readable only when it is complete: small while the stream is young, so that it
 * arrives in one segment, large in bulk, where each frame costs. */
#define CHUNK_FIRST 1380
#define CHUNK_MAX   TCPCRYPT_FRAME_DATA_MAX

#define FRAME_OVERHEAD (TCPCRYPT_FRAME_HEADROOM + TCPCRYPT_FRAME_TAILROOM)
#define FRAMES_AT_ONCE 32

/* What came from an end that is gone waits so long for the other end to take it. */
#define DRAIN_SECONDS 120

/* Between the peer's FINp and its FIN, which may be lost as well. */
#define FIN_SECONDS 120

/* A program that closed lingers in the kernel for a minute (tcp_fin_timeout); then a probe is
 * answered with RST. */
#define APP_IDLE_SECONDS 60

#define PIECES_A_FRAME 3 /* what comes before an urgent byte, that byte, what comes after it */

/*
 * A key update costs more than the 20 bytes it comes in, and must be answered. A peer may
 * begin so many a second, and one more for so many bytes of data; then it is read no further
 * until the next second, and its TCP window closes. No honest peer comes near it.
 */
#define REKEYS_A_SECOND 8
#define DATA_PER_REKEY	4096
#define WIRE_REKEY_BIT	0x01 /* of a frame's first byte */

/* Frames without data take no place among those to be written: so many at once. */
#define FRAMES_A_STEP 256

static int fail(struct relay_outcome *ret, const char *reason)
{
	ret->reason = reason;
	return -1;
}

static void end_gone(struct flow *f, struct flow_end *end, int error)
{
	end->gone = true;
	end->readable = true;
	if (f->gone_reason)
		return;
	/* The others are timeouts, too, that follow ICMP errors. */
	if (error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH)
		f->gone_reason = "timeout";
	else
		f->gone_reason = end == &f->net ? "reset" : "local-reset";
}

int relay_call_failed(struct flow *f, struct flow_end *end)
{
	if (errno == EAGAIN || errno == EINTR)
		return RELAY_BLOCKED;
	end_gone(f, end, errno);
	return RELAY_ENDED;
}

/* After a read of n bytes into so much room. An urgent byte makes reads short as well. */
static void end_was_read(struct flow_end *end, ssize_t n, size_t room)
{
	if (n < 0 ? errno == EAGAIN : (size_t)n < room && !end->ending && !end->urgent)
		end->readable = false;
}

bool relay_at_mark(int fd)
{
	int mark = 0;

	return !ioctl(fd, SIOCATMARK, &mark) && mark;
}

bool relay_end_failed(struct flow *f, struct flow_end *end)
{
	socklen_t len = sizeof(int);
	int error = 0;

	if (!end->hung || getsockopt(end->source.fd, SOL_SOCKET, SO_ERROR, &error, &len) || !error)
		return false;
	end_gone(f, end, error);
	return true;
}

/* Has everything been sent that was written? Closing with RST takes back what has not. */
static bool end_has_sent(const struct flow_end *end)
{
	int unsent = 0;

	return ioctl(end->source.fd, SIOCOUTQNSD, &unsent) || !unsent;
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
		return fail(ret, f->gone_reason);
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

static void inward_release(struct flow *f)
{
	struct flow_inward *in = &f->inward;

	buffer_put(&f->worker->buffers, in->buffer, in->used);
	in->buffer = NULL;
	in->start = in->end = in->used = 0;
}

static void outward_release(struct flow *f)
{
	struct flow_outward *out = &f->outward;

	buffer_put(&f->worker->buffers, out->buffer, out->used);
	out->buffer = NULL;
	out->start = out->end = out->used = 0;
}

/* Outward: from the app, sealed, to the net. */

/* 8548-3.8-7: each byte is sealed once and given to the kernel once; what TCP repeats, it
 * repeats from there. */
static int outward_flush(struct flow *f)
{
	struct flow_outward *out = &f->outward;

	while (out->start < out->end) {
		/* TCP's FIN, which follows at once, goes in FINp's segment. */
		ssize_t n = send(f->net.source.fd, out->buffer + out->start, out->end - out->start,
				 MSG_NOSIGNAL | (out->eof ? MSG_MORE : 0));

		if (n < 0)
			return relay_call_failed(f, &f->net);
		out->start += n;
	}
	out->start = out->end = 0;
	return 0;
}

static int outward_buffer(struct flow *f)
{
	struct flow_outward *out = &f->outward;

	if (!out->buffer)
		out->buffer = buffer_get(&f->worker->buffers);
	return out->buffer ? 0 : relay_starve(f);
}

/* Init messages and rekey frames go out alone, so that their last byte is pushed. */
static int outward_protocol(struct flow *f, struct relay_outcome *ret)
{
	struct flow_outward *out = &f->outward;
	size_t len;
	int error = outward_buffer(f);

	if (error)
		return error;
	error = tcpcrypt_session_output(f->session, out->buffer, &len);
	if (error)
		return fail(ret, tcpcrypt_error_name(error));
	out->end = len;
	if (out->used < len)
		out->used = len;
	return 0;
}

/* Lays the application's bytes out with room for each frame's header and tag between them. */
static ssize_t outward_read(struct flow *f, size_t *ret_capacity)
{
	struct flow_outward *out = &f->outward;
	struct iovec frames[FRAMES_AT_ONCE];
	size_t at = 0;
	int n = 0;

	*ret_capacity = 0;
	while (n < FRAMES_AT_ONCE && at + FRAME_OVERHEAD + out->chunk <= BUFFER_SIZE) {
		frames[n].iov_base = out->buffer + at + TCPCRYPT_FRAME_HEADROOM;
		frames[n++].iov_len = out->chunk;
		*ret_capacity += out->chunk;
		at += FRAME_OVERHEAD + out->chunk;
	}
	return readv(f->app.source.fd, frames, n);
}

/* The byte at TCP's urgent mark goes in a frame of its own, which says so. */
static int outward_urgent(struct flow *f, struct relay_outcome *ret)
{
	struct flow_outward *out = &f->outward;
	size_t frame;
	ssize_t n = recv(f->app.source.fd, out->buffer + TCPCRYPT_FRAME_HEADROOM_URGENT, 1, 0);
	int error;

	if (n < 0)
		return relay_call_failed(f, &f->app);
	if (!n && f->app.gone)
		return RELAY_ENDED;
	out->eof = !n;
	error = tcpcrypt_session_send(f->session, out->buffer, n,
				      n ? TCPCRYPT_TX_URGENT : TCPCRYPT_TX_FIN, 0, &frame);
	if (error)
		return fail(ret, tcpcrypt_error_name(error));
	out->end = frame;
	if (out->used < out->end)
		out->used = out->end;
	return 0;
}

static int outward_seal(struct flow *f, size_t len, struct relay_outcome *ret)
{
	struct flow_outward *out = &f->outward;
	unsigned int flags = out->eof ? TCPCRYPT_TX_FIN : 0;

	do {
		size_t data = len < out->chunk ? len : out->chunk;
		size_t frame;
		int error = tcpcrypt_session_send(f->session, out->buffer + out->end, data, flags,
						  0, &frame);

		if (error)
			return fail(ret, tcpcrypt_error_name(error));
		out->end += frame;
		len -= data;
	} while (len);
	if (out->used < out->end)
		out->used = out->end;
	return 0;
}

static int outward_step(struct flow *f, struct relay_outcome *ret)
{
	struct flow_outward *out = &f->outward;
	size_t capacity;
	ssize_t n;
	int outcome = f->net.gone ? RELAY_ENDED : outward_flush(f);

	if (outcome)
		return outcome;
	if (tcpcrypt_session_has_output(f->session))
		return outward_protocol(f, ret);
	if (out->eof && !out->shut) {
		out->shut = true;
		shutdown(f->net.source.fd, SHUT_WR);
	}
	if (out->eof && (f->app.gone || relay_end_failed(f, &f->app)))
		return RELAY_ENDED;
	if (out->eof || !f->app.open || !f->app.readable || !tcpcrypt_session_can_send(f->session))
		return RELAY_BLOCKED;
	outcome = outward_buffer(f);
	if (outcome)
		return outcome;
	/* Reads stop before the mark; epoll tells of one that comes first, but not of one that
	 * comes after a read that had no room for more. */
	if ((f->app.urgent || out->chunk > CHUNK_FIRST) && relay_at_mark(f->app.source.fd))
		return outward_urgent(f, ret);
	n = outward_read(f, &capacity);
	end_was_read(&f->app, n, capacity);
	if (n < 0)
		return relay_call_failed(f, &f->app);
	/* The kernel tells of a reset once; after that there is only the end of what came before
	 * it, and FINp must not vouch for that. */
	if (!n && f->app.gone)
		return RELAY_ENDED;
	out->eof = !n;
	outcome = outward_seal(f, n, ret);
	/* The whole room was used: there is more where this came from. */
	if ((size_t)n == capacity)
		out->chunk = out->chunk * 2 < CHUNK_MAX ? out->chunk * 2 : CHUNK_MAX;
	else
		out->chunk = CHUNK_FIRST;
	return outcome;
}

/* Inward: from the net, opened, to the app. */

/* How many pieces go in the next call, and its flags: an urgent byte goes alone. */
static int inward_next(const struct flow_inward *in, size_t *ret_n)
{
	uint32_t urgent = in->plain_urgent >> in->plain_first;

	*ret_n = 1;
	if (urgent & 1)
		return MSG_OOB;
	while (*ret_n < in->plain_n && !(urgent >> *ret_n & 1))
		++*ret_n;
	return 0;
}

static int inward_flush(struct flow *f)
{
	struct flow_inward *in = &f->inward;

	while (in->plain_n && f->app.open) {
		struct msghdr message = { .msg_iov = in->plain + in->plain_first };
		int flags = inward_next(in, &message.msg_iovlen) | (in->eof ? MSG_MORE : 0);
		ssize_t n = sendmsg(f->app.source.fd, &message, MSG_NOSIGNAL | flags);

		if (n < 0)
			return relay_call_failed(f, &f->app);
		while (in->plain_n && (size_t)n >= in->plain[in->plain_first].iov_len) {
			n -= in->plain[in->plain_first].iov_len;
			in->plain_first++;
			in->plain_n--;
		}
		if (n) {
			struct iovec *rest = &in->plain[in->plain_first];

			rest->iov_base = (uint8_t *)rest->iov_base + n;
			rest->iov_len -= n;
		}
	}
	if (in->plain_n)
		return RELAY_BLOCKED;
	in->plain_first = 0;
	in->plain_urgent = 0;
	if (in->eof && !in->shut && f->app.open) {
		in->shut = true;
		shutdown(f->app.source.fd, SHUT_WR);
	}
	return 0;
}

static void inward_piece(struct flow_inward *in, uint8_t *data, size_t len)
{
	if (len)
		in->plain[in->plain_n++] = (struct iovec){ data, len };
}

/* Notes a frame's data, with the urgent byte, when it is there, as a piece of its own. */
static void inward_data(struct flow *f, const struct tcpcrypt_received *rx)
{
	struct flow_inward *in = &f->inward;
	struct tcpcrypt_session_info info;
	uint64_t at;

	if (!in->urgent) {
		inward_piece(in, rx->data, rx->data_len);
		return;
	}
	tcpcrypt_session_info(f->session, &info);
	at = in->urgent_index - (info.app_bytes_in - rx->data_len);
	if (at >= rx->data_len) {
		/* It comes later; or it has passed, and then the subtraction has wrapped. */
		in->urgent = at <= INT64_MAX;
		inward_piece(in, rx->data, rx->data_len);
		return;
	}
	in->urgent = false;
	inward_piece(in, rx->data, at);
	in->plain_urgent |= 1U << in->plain_n;
	inward_piece(in, rx->data + at, 1);
	inward_piece(in, rx->data + at + 1, rx->data_len - at - 1);
}

static void inward_events(struct flow *f, const struct tcpcrypt_received *rx)
{
	struct flow_inward *in = &f->inward;
	struct tcpcrypt_session_info info;

	if (rx->events & TCPCRYPT_RX_URGENT) {
		in->urgent = true;
		in->urgent_index = rx->urgent_index;
	}
	if (rx->events & TCPCRYPT_RX_DATA)
		inward_data(f, rx);
	if (rx->events & TCPCRYPT_RX_EOF)
		in->eof = true;
	if (rx->events & TCPCRYPT_RX_ESTABLISHED)
		flow_established(f);
	if (rx->events & TCPCRYPT_RX_REKEYED) {
		flow_record_update(f);
		tcpcrypt_session_info(f->session, &info);
		if (info.remote_generation >= info.local_generation)
			ledger_rekeyed(f->worker->ledger, &f->record);
	}
}

static uint64_t local_generation(const struct flow *f)
{
	struct tcpcrypt_session_info info;

	tcpcrypt_session_info(f->session, &info);
	return info.local_generation;
}

/* Is the next frame a key update of which the peer has sent too many? */
static bool inward_throttles(const struct flow *f)
{
	const struct flow_inward *in = &f->inward;

	return f->established && !in->eof && in->buffer[in->start] & WIRE_REKEY_BIT &&
	       in->rekeys >= REKEYS_A_SECOND + in->rekey_data / DATA_PER_REKEY;
}

/* A peer that is gone is not waited for: what it had sent too many of ends with it. */
static int inward_throttled(struct flow *f)
{
	if (f->inward.plain_n)
		return 0;
	return relay_end_failed(f, &f->net) ? RELAY_ENDED : RELAY_BLOCKED;
}

/* One frame or Init message. Returns what the session did. */
static int inward_receive(struct flow *f, struct tcpcrypt_received *rx)
{
	struct flow_inward *in = &f->inward;
	/* Whatever else has this bit set costs only the question. */
	bool updates = in->buffer[in->start] & WIRE_REKEY_BIT;
	uint64_t generation = updates ? local_generation(f) : 0;
	int outcome = tcpcrypt_session_receive(f->session, in->buffer + in->start,
					       in->end - in->start, rx);

	if (outcome)
		return outcome;
	in->start += rx->consumed;
	in->rekey_data += rx->consumed;
	/* Answers to our own are not the peer's doing. */
	if (rx->events & TCPCRYPT_RX_REKEYED && local_generation(f) > generation)
		in->rekeys++;
	f->life.heard = loop_now(f->worker->loop);
	return 0;
}

/* Opens every frame that is complete, as far as there is a place to note its data. */
static int inward_open(struct flow *f, struct relay_outcome *ret)
{
	const size_t places = sizeof(f->inward.plain) / sizeof(f->inward.plain[0]);
	struct flow_inward *in = &f->inward;
	struct tcpcrypt_received rx;

	in->need = 0;
	for (int i = 0;
	     i < FRAMES_A_STEP && in->start < in->end && in->plain_n + PIECES_A_FRAME <= places;
	     i++) {
		int outcome;

		in->throttled = inward_throttles(f);
		if (in->throttled)
			return inward_throttled(f);
		outcome = inward_receive(f, &rx);
		if (outcome < 0)
			return fail(ret, tcpcrypt_error_name(outcome));
		if (outcome == TCPCRYPT_AGAIN) {
			in->need = rx.need;
			return 0;
		}
		inward_events(f, &rx);
	}
	return 0;
}

/* Makes room for a whole frame behind what is left of the last one. */
static int inward_room(struct flow *f)
{
	struct flow_inward *in = &f->inward;

	if (!in->buffer)
		in->buffer = buffer_get(&f->worker->buffers);
	if (!in->buffer)
		return relay_starve(f);
	if (in->start == in->end) {
		in->start = in->end = 0;
	} else if (BUFFER_SIZE - in->start < TCPCRYPT_RECEIVE_MAX || in->end == BUFFER_SIZE) {
		memmove(in->buffer, in->buffer + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
	}
	return 0;
}

/* As far as is known. */
static bool inward_has_frame(const struct flow_inward *in)
{
	return in->start < in->end && in->end - in->start >= in->need;
}

static int inward_step(struct flow *f, struct relay_outcome *ret)
{
	struct flow_inward *in = &f->inward;
	ssize_t n;
	int outcome = f->app.gone ? RELAY_ENDED : inward_flush(f);

	if (outcome)
		return outcome;
	if (inward_has_frame(in)) {
		outcome = inward_open(f, ret);
		/* Where there are more than a turn opens, nothing else tells of them. */
		if (outcome || in->plain_n || in->eof || inward_has_frame(in))
			return outcome;
	}
	if (!f->net.readable)
		return RELAY_BLOCKED;
	outcome = inward_room(f);
	if (outcome)
		return outcome;
	n = recv(f->net.source.fd, in->buffer + in->end, BUFFER_SIZE - in->end, 0);
	end_was_read(&f->net, n, BUFFER_SIZE - in->end);
	if (n < 0)
		return relay_call_failed(f, &f->net);
	if (in->shut && relay_end_failed(f, &f->net))
		return RELAY_ENDED;
	if (n == 0 && f->net.gone)
		return RELAY_ENDED;
	if (n == 0) {
		/* 8548-3.7-3: TCP's FIN alone is no end of file. */
		outcome = tcpcrypt_session_receive_fin(f->session, in->end - in->start);
		in->fin = !outcome;
		return outcome ? fail(ret, tcpcrypt_error_name(outcome)) : RELAY_BLOCKED;
	}
	in->end += n;
	if (in->used < in->end)
		in->used = in->end;
	return in->end - in->start < in->need ? 0 : inward_open(f, ret);
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

	if (!out->chunk)
		out->chunk = CHUNK_FIRST;
	/* Inward first: it may bring keys, or a key update that must be answered. */
	outcome = direction(f, inward_step, ret, &in_ended);
	if (!outcome)
		outcome = direction(f, outward_step, ret, &out_ended);
	if (!outcome)
		outcome = relay_conclude(f, in_ended, out_ended, ret);
	if (outcome)
		return outcome;
	if (in->start == in->end && !in->plain_n)
		inward_release(f);
	if (out->start == out->end)
		outward_release(f);
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

void relay_tick(struct flow *f)
{
	if ((f->outward.shut || f->plain_out.shut) && !f->watched && f->app.open)
		watch_app(f);
	f->inward.rekeys = 0;
	f->inward.rekey_data = 0;
	if (f->inward.throttled || f->starved)
		loop_queue(f->worker->loop, &f->again);
	f->starved = false;
}

void relay_release(struct flow *f)
{
	inward_release(f);
	outward_release(f);
	pipe_put(&f->worker->pipes, &f->plain_in.pipe, f->plain_in.inside);
	pipe_put(&f->worker->pipes, &f->plain_out.pipe, f->plain_out.inside);
}
