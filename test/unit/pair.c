/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdlib.h>
#include <string.h>

#include "test/unit/pair.h"

void pair_append(struct pair_buffer *buffer, const uint8_t *data, size_t len)
{
	if (buffer->room - buffer->len < len) {
		buffer->room = 2 * buffer->room + len;
		buffer->data = realloc(buffer->data, buffer->room);
		if (!buffer->data)
			abort();
	}
	if (len)
		memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
}

void pair_consume(struct pair_buffer *buffer, size_t len)
{
	buffer->len -= len;
	if (buffer->len)
		memmove(buffer->data, buffer->data + len, buffer->len);
}

struct tcpcrypt_session *pair_session(const struct pair_params *params, enum tcpcrypt_role role,
				      int *ret_error)
{
	const uint8_t transcript[] = { 0x45, 3, params->tep, 0x45, 4, 1, params->tep };
	const struct tcpcrypt_resumption *resume = role == TCPCRYPT_ROLE_A ? params->resume_a
									   : params->resume_b;
	struct tcpcrypt_session_params p = {
		.size = sizeof(p),
		.crypto = params->crypto ? params->crypto : tcpcrypt_crypto_openssl(),
		.role = role,
		.tep_byte = (uint8_t)(params->tep | (resume ? 0x80 : 0)),
		.transcript = transcript,
		.transcript_len = sizeof(transcript),
		.aeads = &params->aead,
		.n_aeads = 1,
		.rekey_bytes = params->rekey_bytes,
		.resume = resume,
		.keylog = params->keylog,
		.keylog_data = params->keylog_data[role],
	};

	return tcpcrypt_session_new(&p, ret_error);
}

int pair_init(struct pair *pair, const struct pair_params *params)
{
	*pair = (struct pair){ 0 };
	pair->a.session = pair_session(params, TCPCRYPT_ROLE_A, &pair->a.error);
	pair->b.session = pair_session(params, TCPCRYPT_ROLE_B, &pair->b.error);
	return pair->a.error ? pair->a.error : pair->b.error;
}

static void end_deinit(struct pair_end *end)
{
	tcpcrypt_session_free(end->session);
	free(end->wire.data);
	free(end->in.data);
	free(end->received.data);
	free(end->sent.data);
}

void pair_deinit(struct pair *pair)
{
	end_deinit(&pair->a);
	end_deinit(&pair->b);
}

struct pair_end *pair_other(struct pair *pair, struct pair_end *end)
{
	return end == &pair->a ? &pair->b : &pair->a;
}

static int note(struct pair_end *end, int r)
{
	if (r < 0 && !end->error)
		end->error = r;
	return r;
}

void pair_flush(struct pair_end *end)
{
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	size_t len;

	while (!end->error && tcpcrypt_session_has_output(end->session)) {
		if (note(end, tcpcrypt_session_output(end->session, out, &len)) < 0)
			return;
		pair_append(&end->wire, out, len);
		end->writes++;
	}
}

int pair_send(struct pair_end *end, const uint8_t *data, size_t len, unsigned int flags,
	      uint16_t urgent)
{
	size_t headroom = flags & TCPCRYPT_TX_URGENT ? TCPCRYPT_FRAME_HEADROOM_URGENT
						     : TCPCRYPT_FRAME_HEADROOM;
	uint8_t *frame = malloc(headroom + len + TCPCRYPT_FRAME_TAILROOM);
	size_t frame_len;
	int r;

	if (!frame)
		abort();
	pair_flush(end);
	/* Either way comes to the same. */
	if (len % 2) {
		r = tcpcrypt_session_send_from(end->session, frame, data, len, flags, urgent,
					       &frame_len);
	} else {
		if (len)
			memcpy(frame + headroom, data, len);
		r = tcpcrypt_session_send(end->session, frame, len, flags, urgent, &frame_len);
	}
	r = note(end, r);
	if (r == 0) {
		pair_append(&end->wire, frame, frame_len);
		pair_append(&end->sent, data, len);
		end->sent_fin = flags & TCPCRYPT_TX_FIN;
		end->writes++;
	}
	free(frame);
	return r;
}

static void take(struct pair_end *end, const struct tcpcrypt_received *rx)
{
	if (rx->events & TCPCRYPT_RX_DATA)
		pair_append(&end->received, rx->data, rx->data_len);
	if (rx->events & TCPCRYPT_RX_URGENT) {
		end->urgent_index = rx->urgent_index;
		end->n_urgent++;
	}
	end->established += !!(rx->events & TCPCRYPT_RX_ESTABLISHED);
	end->rekeyed += !!(rx->events & TCPCRYPT_RX_REKEYED);
	end->eof |= !!(rx->events & TCPCRYPT_RX_EOF);
	pair_consume(&end->in, rx->consumed);
}

/* Presents exactly what is there, in its own allocation, so that a sanitizer sees its end. */
static int consume_one(struct pair_end *end)
{
	struct tcpcrypt_received rx;
	uint8_t *in = malloc(end->in.len);
	int r;

	if (!in)
		abort();
	memcpy(in, end->in.data, end->in.len);
	r = note(end, tcpcrypt_session_receive(end->session, in, end->in.len, &rx));
	if (r == 0)
		take(end, &rx);
	else if (r == TCPCRYPT_AGAIN && (rx.need <= end->in.len || rx.need > TCPCRYPT_RECEIVE_MAX))
		abort(); /* the caller would wait in vain */
	free(in);
	return r;
}

void pair_deliver(struct pair *pair, struct pair_end *end, size_t n)
{
	struct pair_end *to = pair_other(pair, end);

	if (n > end->wire.len)
		n = end->wire.len;
	pair_append(&to->in, end->wire.data, n);
	pair_consume(&end->wire, n);
	while (!to->error && to->in.len && consume_one(to) == 0)
		;
}

int pair_fin(struct pair_end *end)
{
	return note(end, tcpcrypt_session_receive_fin(end->session, end->in.len));
}

static bool is_stuck(const struct pair_end *from, const struct pair_end *to)
{
	return from->wire.len == 0 || to->error;
}

void pair_run(struct pair *pair, size_t n)
{
	do {
		pair_flush(&pair->a);
		if (!is_stuck(&pair->a, &pair->b))
			pair_deliver(pair, &pair->a, n);
		pair_flush(&pair->b);
		if (!is_stuck(&pair->b, &pair->a))
			pair_deliver(pair, &pair->b, n);
	} while (!is_stuck(&pair->a, &pair->b) || !is_stuck(&pair->b, &pair->a));
}
