// SPDX-License-Identifier: BSD-2-Clause
/* Inward: from the net, opened, to the app. */
#include <string.h>
#include <sys/socket.h>

#include "daemon/relay.h"

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

void relay_inward_release(struct flow *f)
{
	struct flow_inward *in = &f->inward;

	buffer_put(&f->worker->buffers, in->buffer, in->used);
	in->buffer = NULL;
	in->start = in->end = in->used = 0;
}

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

/* Is nothing left of the flow but the peer's FIN, which may be there? Then close() ends the app's
 * stream at once. */
static bool inward_is_last(const struct flow *f)
{
	return f->outward.shut && f->net.readable && !f->inward.fin && !f->gone_reason;
}

/* FINp came, and all before it has gone to the app. */
static void inward_shut(struct flow *f)
{
	struct flow_inward *in = &f->inward;
	bool ends = in->fin && f->outward.shut && !f->gone_reason;

	if (in->shut || in->plain_n || !f->app.open)
		return;
	if (!ends)
		shutdown(f->app.source.fd, SHUT_WR);
	in->shut = true;
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
	if (in->eof && !inward_is_last(f))
		inward_shut(f);
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
			return relay_fail(ret, tcpcrypt_error_name(outcome));
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

/* 0: there is more than before. */
static int inward_read(struct flow *f, struct relay_outcome *ret)
{
	struct flow_inward *in = &f->inward;
	ssize_t n = 0;
	int error;

	/* FINp vouches for it. */
	if (!f->net.empty || !in->eof)
		n = recv(f->net.source.fd, in->buffer + in->end, BUFFER_SIZE - in->end, 0);
	relay_end_was_read(&f->net, n, BUFFER_SIZE - in->end, false);
	if (n < 0)
		return relay_call_failed(f, &f->net);
	if (in->eof && f->app.open && relay_end_failed(f, &f->net))
		return RELAY_ENDED;
	if (n == 0 && relay_end_is_gone(f, &f->net))
		return RELAY_ENDED;
	if (n == 0) {
		/* 8548-3.7-3: TCP's FIN alone is no end of file. */
		error = tcpcrypt_session_receive_fin(f->session, in->end - in->start);
		in->fin = !error;
		return error ? relay_fail(ret, tcpcrypt_error_name(error)) : RELAY_BLOCKED;
	}
	in->end += n;
	if (in->used < in->end)
		in->used = in->end;
	return 0;
}

int relay_inward_step(struct flow *f, struct relay_outcome *ret)
{
	struct flow_inward *in = &f->inward;
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
	/* Nothing comes behind FIN; but the connection may still fail, or have failed as it was
	 * written to. */
	if (in->fin)
		return f->net.gone || relay_end_failed(f, &f->net) ? RELAY_ENDED : RELAY_BLOCKED;
	outcome = inward_room(f);
	if (outcome)
		return outcome;
	outcome = inward_read(f, ret);
	if (in->eof)
		inward_shut(f);
	if (outcome || in->end - in->start < in->need)
		return outcome;
	return inward_open(f, ret);
}
