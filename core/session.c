/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/eno_scan.h"
#include "core/kdf.h"
#include "core/mem.h"
#include "core/resume.h"
#include "core/session_state.h"

size_t tcpcrypt_session_size(void)
{
	return sizeof(struct tcpcrypt_session);
}

/* Frees and wipes every secret; what may be asked of a failed session stays. */
static void forget_secrets(struct tcpcrypt_session *s)
{
	exchange_deinit(&s->exchange);
	rekey_deinit(&s->tx, s->crypto);
	rekey_deinit(&s->rx, s->crypto);
	mem_wipe(s->next_secret, sizeof(s->next_secret));
	s->has_next = false;
	s->init_pending = false;
}

/*
 * Every fatal error of an initialised session comes through here: 8547-4.6-8, 8547-4.6-9, nothing
 * can be sent or delivered afterwards, least of all in plain.
 */
static int fail(struct tcpcrypt_session *s, int error)
{
	kex_step(&s->kex, KEX_FAILURE);
	forget_secrets(s);
	return error;
}

static bool aeads_known(const uint16_t *aeads, size_t n)
{
	if (!aeads || n == 0 || n > TCPCRYPT_AEADS_MAX)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!aead_find(aeads[i]))
			return false;
	}
	return true;
}

static bool params_valid(const struct tcpcrypt_session_params *p)
{
	uint8_t tep = p->tep_byte & ENO_GLT;

	if (p->size < sizeof(*p) || !p->crypto)
		return false;
	if (p->role != TCPCRYPT_ROLE_A && p->role != TCPCRYPT_ROLE_B)
		return false;
	/* 8548-3.2-6, 8548-5-7, 8548-5-9: the four TEPs of RFC 8548. */
	if (tep < TCPCRYPT_TEP_P256 || tep > TCPCRYPT_TEP_X448)
		return false;
	/* The session ID begins with this byte: v must say what really happens. */
	if (!!(p->tep_byte & ENO_V) != !!p->resume)
		return false;
	if (p->resume)
		return aead_find(p->resume->aead) && p->resume->nonces_len <= WIRE_SN_MAX;
	return p->transcript && p->transcript_len > 0 &&
	       p->transcript_len <= TCPCRYPT_TRANSCRIPT_MAX && aeads_known(p->aeads, p->n_aeads);
}

/* 8547-5-6: only who asked for it in the session's parameters is told. */
static void tell_keys(const struct tcpcrypt_session *s, const uint8_t master[static WIRE_K_LEN])
{
	const struct tcpcrypt_keylog secrets = {
		.session_id = s->session_id,
		.master = master,
		.aead = s->aead,
		.sends_as = s->original_role,
		.tx_offset = s->tx.offset,
		.rx_offset = s->rx.offset,
	};

	if (s->keylog)
		s->keylog(s->keylog_data, &secrets);
}

/*
 * From the session secret to everything that is derived from it. Both directions start at
 * the length of their Init messages, 0 when there were none (D13).
 */
static int establish(struct tcpcrypt_session *s, const uint8_t ss[static WIRE_K_LEN],
		     struct tcpcrypt_span sn, size_t tx_offset, size_t rx_offset)
{
	/* 8548-3.5-25: who encrypts with k_ab was settled in the original session. */
	bool with_a = s->original_role == TCPCRYPT_ROLE_A;
	uint8_t master[WIRE_K_LEN];
	int r;

	r = kdf_session_id(s->crypto, s->tep_byte, ss, sn, s->session_id);
	/* 8548-3.5-17, 8548-3.5-21: the next secret at once; the caller erases ss. */
	if (r == 0)
		r = kdf_next_secret(s->crypto, ss, s->next_secret);
	if (r == 0)
		r = kdf_first_master(s->crypto, ss, sn, master);
	if (r == 0)
		r = rekey_init(&s->tx, s->crypto, s->aead, master,
			       with_a ? WIRE_CONST_KEY_A : WIRE_CONST_KEY_B, tx_offset);
	if (r == 0)
		r = rekey_init(&s->rx, s->crypto, s->aead, master,
			       with_a ? WIRE_CONST_KEY_B : WIRE_CONST_KEY_A, rx_offset);
	s->has_next = r == 0;
	if (r == 0)
		tell_keys(s, master);
	else
		mem_wipe(s->session_id, sizeof(s->session_id));
	mem_wipe(master, sizeof(master));
	return r;
}

static int start_resumed(struct tcpcrypt_session *s, const struct tcpcrypt_session_params *p)
{
	const struct tcpcrypt_resumption *resume = p->resume;
	int r;

	if (p->keypair)
		p->crypto->keypair_free(p->keypair);
	s->resumed = true;
	s->original_role = resume->original_role;
	s->aead = resume->aead;
	r = establish(s, resume->secret,
		      (struct tcpcrypt_span){ resume->nonces, resume->nonces_len }, 0, 0);
	return r < 0 ? r : kex_step(&s->kex, KEX_START_RESUMED);
}

static int start_fresh(struct tcpcrypt_session *s, const struct tcpcrypt_session_params *p)
{
	int r;

	s->original_role = p->role;
	exchange_init(&s->exchange, p);
	if (p->role == TCPCRYPT_ROLE_B)
		return kex_step(&s->kex, KEX_START_B);
	r = exchange_offer(&s->exchange);
	s->init_pending = r == 0;
	return r < 0 ? r : kex_step(&s->kex, KEX_START_A);
}

int tcpcrypt_session_init(struct tcpcrypt_session *s, const struct tcpcrypt_session_params *p)
{
	int r;

	mem_wipe(s, sizeof(*s));
	if (!params_valid(p)) {
		if (p->keypair && p->crypto)
			p->crypto->keypair_free(p->keypair);
		return TCPCRYPT_E_ARGUMENT;
	}
	s->crypto = p->crypto;
	s->role = p->role;
	s->tep_byte = p->tep_byte;
	s->rekey_bytes = p->rekey_bytes;
	s->keylog = p->keylog;
	s->keylog_data = p->keylog_data;
	r = p->resume ? start_resumed(s, p) : start_fresh(s, p);
	if (r < 0)
		tcpcrypt_session_deinit(s);
	return r;
}

void tcpcrypt_session_deinit(struct tcpcrypt_session *s)
{
	if (!s || !s->crypto)
		return;
	forget_secrets(s);
	mem_wipe(s, sizeof(*s));
}

/* The end of a key exchange: keys from PRK, and the private key is gone already. */
static int finish_exchange(struct tcpcrypt_session *s, const struct exchange_result *result,
			   size_t received_len, enum kex_event event)
{
	const struct tcpcrypt_span no_nonces = { NULL, 0 };
	int r;

	s->aead = result->aead;
	r = establish(s, result->prk, no_nonces, s->exchange.init_len, received_len);
	return r < 0 ? r : kex_step(&s->kex, event);
}

static int receive_init1(struct tcpcrypt_session *s, uint8_t *in, size_t len,
			 struct tcpcrypt_received *rx)
{
	struct exchange_result result;
	size_t message_len;
	int r;

	r = init_measure(INIT1, in, len, &message_len);
	if (r == TCPCRYPT_AGAIN)
		rx->need = message_len;
	if (r != 0)
		return r;
	r = exchange_accept_init1(&s->exchange, in, message_len, &result);
	if (r == 0)
		r = finish_exchange(s, &result, message_len, KEX_INIT1_ACCEPTED);
	mem_wipe(&result, sizeof(result));
	s->init_pending = r == 0;
	rx->consumed = message_len;
	rx->events = TCPCRYPT_RX_ESTABLISHED;
	return r;
}

static int receive_init2(struct tcpcrypt_session *s, uint8_t *in, size_t len,
			 struct tcpcrypt_received *rx)
{
	struct exchange_result result;
	size_t message_len;
	int r;

	r = init_measure(INIT2, in, len, &message_len);
	if (r == TCPCRYPT_AGAIN)
		rx->need = message_len;
	if (r != 0)
		return r;
	/* Nobody can answer an Init1 that was not written yet. */
	if (s->init_pending)
		return TCPCRYPT_E_BAD_INIT;
	r = exchange_accept_init2(&s->exchange, in, message_len, &result);
	if (r == 0)
		r = finish_exchange(s, &result, message_len, KEX_INIT2_ACCEPTED);
	mem_wipe(&result, sizeof(result));
	exchange_deinit(&s->exchange);
	rx->consumed = message_len;
	rx->events = TCPCRYPT_RX_ESTABLISHED;
	return r;
}

/* 8548-3.8-4: the peer is at a new generation; follow it if it is ahead of us. */
static void follow_generation(struct tcpcrypt_session *s)
{
	/* 8548-3.8-5, 8548-3.9-3: tx.generation is now behind, so a rekey frame is due. */
	if (s->rx.generation > s->local_generation)
		s->local_generation = s->rx.generation;
}

static int receive_frame(struct tcpcrypt_session *s, uint8_t *in, size_t len,
			 struct tcpcrypt_received *rx)
{
	uint64_t app_offset = s->rx.app_bytes;
	struct frame_content content;
	size_t frame_len;
	int r;

	r = frame_measure(in, len, &frame_len);
	if (r < 0)
		return r;
	if (r == TCPCRYPT_AGAIN || len < frame_len) {
		rx->need = frame_len;
		return TCPCRYPT_AGAIN;
	}
	r = rekey_open(&s->rx, &s->tx, s->crypto, in, frame_len, &content);
	if (r < 0)
		return r;
	rx->consumed = frame_len;
	if (content.data_len) {
		rx->events |= TCPCRYPT_RX_DATA;
		rx->data = content.data;
		rx->data_len = content.data_len;
	}
	if (content.rekey) {
		rx->events |= TCPCRYPT_RX_REKEYED;
		follow_generation(s);
	}
	if (content.has_urgent) {
		/* D12: the sum indexes the application's stream. */
		rx->events |= TCPCRYPT_RX_URGENT;
		rx->urgent_index = app_offset + content.urgent;
	}
	/* 8548-3.7-2: this is the only place that gives end of file. */
	if (content.fin) {
		rx->events |= TCPCRYPT_RX_EOF;
		return half_rx_step(&s->half_rx, HALF_RX_FINP);
	}
	return 0;
}

typedef int receive_fn(struct tcpcrypt_session *s, uint8_t *in, size_t len,
		       struct tcpcrypt_received *rx);

static receive_fn *const receivers[KEX_N_STATES] = {
	[KEX_EXPECT_INIT1] = receive_init1,
	[KEX_EXPECT_INIT2] = receive_init2,
	[KEX_EXPECT_FRAME] = receive_frame,
};

int tcpcrypt_session_receive(struct tcpcrypt_session *s, uint8_t *in, size_t len,
			     struct tcpcrypt_received *ret_rx)
{
	struct tcpcrypt_received rx = { 0 };
	int r = 0;

	if (!receivers[s->kex.state])
		return TCPCRYPT_E_STATE;
	if (len)
		r = half_rx_step(&s->half_rx, HALF_RX_BYTES);
	if (r == 0)
		r = receivers[s->kex.state](s, in, len, &rx);
	/* 8548-3.3-5, 8548-3.3-8, 8548-3.6-5: whatever is wrong ends the session. */
	if (r < 0)
		return fail(s, r);
	if (r == TCPCRYPT_AGAIN)
		rx.consumed = 0;
	*ret_rx = rx;
	return r;
}

int tcpcrypt_session_receive_fin(struct tcpcrypt_session *s, size_t unconsumed)
{
	int r = 0;

	if (!receivers[s->kex.state])
		return TCPCRYPT_E_STATE;
	if (unconsumed && s->half_rx.state == HALF_RX_EXPECT_FIN)
		r = half_rx_step(&s->half_rx, HALF_RX_BYTES);
	if (r == 0)
		r = half_rx_step(&s->half_rx, HALF_RX_FIN);
	return r < 0 ? fail(s, r) : 0;
}

/* Is a frame with rekey = 1 due that need not wait for data? */
static bool rekey_pending(const struct tcpcrypt_session *s)
{
	return s->kex.state == KEX_EXPECT_FRAME && s->half_tx.state == HALF_TX_OPEN &&
	       s->tx.generation < s->local_generation;
}

bool tcpcrypt_session_has_output(const struct tcpcrypt_session *s)
{
	return s->init_pending || rekey_pending(s);
}

/*
 * Seals a frame, one generation on if the local number is ahead. When the peer stepped
 * several times, each step gets its own frame, because the peer counts by ones.
 */
static int seal_frame(struct tcpcrypt_session *s, uint8_t *frame, struct frame_content *content,
		      size_t *ret_len)
{
	int r = 0;

	/* 8548-3.8-2, 8548-3.8-3: rekey = 1 on the first frame of a key and on no other. */
	content->rekey = s->tx.generation < s->local_generation;
	if (content->rekey)
		r = rekey_advance(&s->tx, &s->rx, s->crypto);
	return r < 0 ? r : rekey_seal(&s->tx, s->crypto, frame, content, ret_len);
}

static int output_rekeys(struct tcpcrypt_session *s, uint8_t *out, size_t *ret_len)
{
	struct frame_content empty = { 0 };
	size_t done = 0, len;
	int r;

	while (rekey_pending(s) && TCPCRYPT_OUTPUT_MAX - done >= WIRE_FRAME_EMPTY_LEN) {
		r = seal_frame(s, out + done, &empty, &len);
		if (r < 0)
			return r;
		done += len;
	}
	*ret_len = done;
	return 0;
}

int tcpcrypt_session_output(struct tcpcrypt_session *s, uint8_t *out, size_t *ret_len)
{
	size_t len = 0;
	int r;

	if (s->kex.state == KEX_EXPECT_START || s->kex.state == KEX_FAILED)
		return TCPCRYPT_E_STATE;
	if (s->init_pending) {
		len = s->exchange.init_len;
		memcpy(out, s->exchange.init, len);
		s->init_pending = false;
		/* Host A still needs its Init1 for PRK; host B is done with Init2. */
		if (s->kex.state == KEX_EXPECT_FRAME)
			exchange_deinit(&s->exchange);
		*ret_len = len;
		return 0;
	}
	r = output_rekeys(s, out, &len);
	if (r < 0)
		return fail(s, r);
	*ret_len = len;
	return 0;
}

/* 8548-3.2-4, 8548-3.3-7: as soon as the keys are there, whoever sent last. */
bool tcpcrypt_session_can_send(const struct tcpcrypt_session *s)
{
	return s->kex.state == KEX_EXPECT_FRAME && s->half_tx.state == HALF_TX_OPEN;
}

/*
 * New keys after so much under the old ones. 8548-3.8-6: while the peer has not answered
 * the last step, only a frame with data may take the next.
 */
static bool may_rekey_now(const struct tcpcrypt_session *s, size_t data_len)
{
	if (s->tx.generation < s->local_generation || s->local_generation == UINT64_MAX)
		return false;
	if (data_len == 0 && s->local_generation > s->rx.generation)
		return false;
	return rekey_due(&s->tx, s->rekey_bytes);
}

int tcpcrypt_session_send(struct tcpcrypt_session *s, uint8_t *frame, size_t data_len,
			  unsigned int flags, uint16_t urgent, size_t *ret_len)
{
	return tcpcrypt_session_send_from(s, frame, NULL, data_len, flags, urgent, ret_len);
}

int tcpcrypt_session_send_from(struct tcpcrypt_session *s, uint8_t *frame, const uint8_t *data,
			       size_t data_len, unsigned int flags, uint16_t urgent,
			       size_t *ret_len)
{
	struct frame_content content = {
		.fin = flags & TCPCRYPT_TX_FIN,
		.has_urgent = flags & TCPCRYPT_TX_URGENT,
		.urgent = urgent,
		.from = data,
		.data_len = data_len,
	};
	int r;

	if (!tcpcrypt_session_can_send(s) || s->init_pending)
		return TCPCRYPT_E_STATE;
	if (data_len > frame_data_max(content.has_urgent))
		return TCPCRYPT_E_ARGUMENT;
	/* 8548-3.8-1 */
	if (may_rekey_now(s, data_len))
		s->local_generation++;
	r = seal_frame(s, frame, &content, ret_len);
	if (r == 0)
		r = half_tx_step(&s->half_tx, content.fin ? HALF_TX_FINP : HALF_TX_FRAME);
	return r < 0 ? fail(s, r) : 0;
}

/* 8548-3.9-2: has_output() is true at once, so the probe need not wait for data. */
int tcpcrypt_session_rekey(struct tcpcrypt_session *s)
{
	if (s->kex.state != KEX_EXPECT_FRAME)
		return TCPCRYPT_E_STATE;
	/* 8548-3.8-6: one at a time, since nothing says that data will carry it. */
	if (s->half_tx.state != HALF_TX_OPEN || s->local_generation > s->rx.generation)
		return TCPCRYPT_AGAIN;
	if (s->local_generation == UINT64_MAX)
		return fail(s, TCPCRYPT_E_LIMIT);
	s->local_generation++;
	return 0;
}

void tcpcrypt_session_info(const struct tcpcrypt_session *s, struct tcpcrypt_session_info *ret)
{
	bool established = s->kex.state == KEX_EXPECT_FRAME;
	bool has_id = s->session_id[0] != 0; /* also of a session that failed later */

	*ret = (struct tcpcrypt_session_info){
		.established = established,
		.resumed = s->resumed,
		.role = s->role,
		.tep = s->tep_byte & ENO_GLT,
		.aead = has_id ? s->aead : 0,
		/* 8547-5.1-2, 8547-5.1-3: no session ID before there is a session. */
		.session_id = has_id ? s->session_id : NULL,
		.local_generation = s->local_generation,
		.remote_generation = s->rx.generation,
		.app_bytes_in = s->rx.app_bytes,
		.app_bytes_out = s->tx.app_bytes,
	};
}

int tcpcrypt_session_next_secret(struct tcpcrypt_session *s, struct tcpcrypt_next_secret *ret)
{
	struct tcpcrypt_next_secret next = {
		.original_role = s->original_role,
		.tep = s->tep_byte & ENO_GLT,
		.aead = s->aead,
	};
	int r;

	if (!s->has_next)
		return TCPCRYPT_E_STATE;
	r = resume_identifier(s->crypto, s->next_secret, next.identifier);
	if (r == 0) {
		memcpy(next.secret, s->next_secret, sizeof(next.secret));
		*ret = next;
		mem_wipe(s->next_secret, sizeof(s->next_secret));
		s->has_next = false;
	}
	mem_wipe(&next, sizeof(next));
	return r;
}
