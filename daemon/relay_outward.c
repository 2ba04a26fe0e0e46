// SPDX-License-Identifier: BSD-2-Clause
/* Outward: from the app, sealed, to the net. */
#include <sys/socket.h>
#include <sys/uio.h>

#include "daemon/relay.h"

/* A frame is readable only when it is complete: small while the stream is young, so that it
 * arrives in one segment, large in bulk, where each frame costs. */
#define CHUNK_FIRST 1380
#define CHUNK_MAX   TCPCRYPT_FRAME_DATA_MAX

#define FRAME_OVERHEAD (TCPCRYPT_FRAME_HEADROOM + TCPCRYPT_FRAME_TAILROOM)
#define FRAMES_AT_ONCE 32

void relay_outward_release(struct flow *f)
{
	struct flow_outward *out = &f->outward;

	buffer_put(&f->worker->buffers, out->buffer, out->used);
	out->buffer = NULL;
	out->start = out->end = out->used = 0;
}

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
		return relay_fail(ret, tcpcrypt_error_name(error));
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

	*ret_capacity = CHUNK_FIRST;
	if (f->app.empty)
		return 0;
	/* In the buffer's first page. */
	if (out->small)
		return recv(f->app.source.fd, out->buffer + TCPCRYPT_FRAME_HEADROOM, CHUNK_FIRST,
			    0);
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
	if (!n && relay_end_is_cut(f, &f->app))
		return RELAY_ENDED;
	out->eof = !n;
	error = tcpcrypt_session_send(f->session, out->buffer, n,
				      n ? TCPCRYPT_TX_URGENT : TCPCRYPT_TX_FIN, 0, &frame);
	if (error)
		return relay_fail(ret, tcpcrypt_error_name(error));
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
			return relay_fail(ret, tcpcrypt_error_name(error));
		out->end += frame;
		len -= data;
	} while (len);
	if (out->used < out->end)
		out->used = out->end;
	return 0;
}

/* FINp has gone out. */
static void outward_shut(struct flow *f)
{
	const struct flow_inward *in = &f->inward;
	bool ends = in->shut && in->fin && !f->gone_reason;

	/* With nothing else left, close() follows at once, and sends FIN. */
	if (!f->outward.shut && !ends)
		shutdown(f->net.source.fd, SHUT_WR);
	f->outward.shut = true;
}

int relay_outward_step(struct flow *f, struct relay_outcome *ret)
{
	struct flow_outward *out = &f->outward;
	size_t capacity;
	ssize_t n;
	int outcome = f->net.gone ? RELAY_ENDED : outward_flush(f);

	if (outcome)
		return outcome;
	if (!out->chunk)
		out->chunk = CHUNK_FIRST;
	if (tcpcrypt_session_has_output(f->session))
		return outward_protocol(f, ret);
	if (out->eof && (f->app.gone || relay_end_failed(f, &f->app))) {
		outward_shut(f);
		return RELAY_ENDED;
	}
	if (out->eof)
		outward_shut(f);
	if (out->eof || !f->app.open || !f->app.readable || !tcpcrypt_session_can_send(f->session))
		return RELAY_BLOCKED;
	outcome = outward_buffer(f);
	if (outcome)
		return outcome;
	/* Reads stop before the mark; epoll tells of one that comes first, but not of one that
	 * comes after a read that had no room for more. */
	if ((f->app.urgent || out->full) && relay_at_mark(f->app.source.fd))
		return outward_urgent(f, ret);
	n = outward_read(f, &capacity);
	relay_end_was_read(&f->app, n, capacity, out->small);
	/* FINp must not vouch for what was left. */
	f->app.empty &= !f->app.doubtful;
	if (n < 0)
		return relay_call_failed(f, &f->app);
	/* The kernel tells of a reset once; after that there is only the end of what came before
	 * it, and FINp must not vouch for that. */
	if (!n && relay_end_is_cut(f, &f->app))
		return RELAY_ENDED;
	out->eof = !n;
	outcome = outward_seal(f, n, ret);
	/* The whole room was used: there is more where this came from. */
	out->full = (size_t)n == capacity;
	if (out->full && !out->small)
		out->chunk = out->chunk * 2 < CHUNK_MAX ? out->chunk * 2 : CHUNK_MAX;
	else
		out->chunk = CHUNK_FIRST;
	out->small = (size_t)n < CHUNK_FIRST;
	return outcome;
}
