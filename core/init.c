/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cursor.h"
#include "core/init.h"

static const uint32_t magics[] = { [INIT1] = WIRE_INIT1_MAGIC, [INIT2] = WIRE_INIT2_MAGIC };

int init_measure(enum init_kind kind, const uint8_t *in, size_t len, size_t *ret_len)
{
	struct reader r = reader_over(in, len);
	uint32_t message_len;

	/* A peer that talks plain text must not make us wait for more of it. */
	for (size_t i = 0; i < 4 && i < len; i++) {
		if (in[i] != (uint8_t)(magics[kind] >> (24 - 8 * i)))
			return TCPCRYPT_E_BAD_MAGIC;
	}
	reader_u32(&r);
	message_len = reader_u32(&r);
	if (r.failed) {
		/* 8548-3.3-1: a message may come in any number of pieces. */
		*ret_len = WIRE_INIT_HEADER_LEN;
		return TCPCRYPT_AGAIN;
	}
	if (message_len < WIRE_INIT_HEADER_LEN || message_len > WIRE_INIT_MAX)
		return TCPCRYPT_E_BAD_INIT;
	*ret_len = message_len;
	return len < message_len ? TCPCRYPT_AGAIN : 0;
}

/* Section 5: X25519 and X448 keys are bare, NIST points follow their length. */
static size_t public_key_len(uint8_t tep, struct reader at)
{
	switch (tep) {
	case TCPCRYPT_TEP_X25519:
		return WIRE_X25519_LEN;
	case TCPCRYPT_TEP_X448:
		return WIRE_X448_LEN;
	default:
		return WIRE_POINT_LEN_LEN + (size_t)reader_u16(&at);
	}
}

int init_decode(enum init_kind kind, uint8_t tep, const uint8_t *in, size_t len,
		struct init_message *ret)
{
	struct reader r = reader_over(in, len);
	struct init_message m;

	reader_bytes(&r, WIRE_INIT_HEADER_LEN);
	m.n_ciphers = kind == INIT1 ? reader_u8(&r) : 1;
	m.ciphers = reader_bytes(&r, 2 * m.n_ciphers);
	m.nonce = reader_bytes(&r, WIRE_NONCE_LEN);
	m.public_key_len = public_key_len(tep, r);
	m.public_key = reader_bytes(&r, m.public_key_len);
	if (r.failed)
		return TCPCRYPT_E_BAD_INIT;
	/* 8548-4.1-2, 8548-4.1-4: whatever is left belongs to the message and is ignored. */
	*ret = m;
	return 0;
}

uint16_t init_cipher(const struct init_message *message, size_t i)
{
	return (uint16_t)(message->ciphers[2 * i] << 8 | message->ciphers[2 * i + 1]);
}

uint16_t init_choose_cipher(const struct init_message *init1, const uint16_t *preferences, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		for (size_t j = 0; j < init1->n_ciphers; j++) {
			if (init_cipher(init1, j) == preferences[i])
				return preferences[i];
		}
	}
	return 0;
}

int init_encode(enum init_kind kind, const struct init_fields *fields,
		uint8_t out[static WIRE_INIT_SENT_MAX], size_t *ret_len)
{
	struct writer w = writer_over(out, WIRE_INIT_SENT_MAX);
	size_t fixed = kind == INIT1 ? WIRE_INIT1_FIXED_LEN : WIRE_INIT2_FIXED_LEN - 2;
	size_t len = fixed + 2 * fields->n_ciphers + fields->public_key_len;

	writer_u32(&w, magics[kind]);
	/* 8548-4.1-1, 8548-4.1-3: the message ends with the public key. */
	writer_u32(&w, (uint32_t)len);
	if (kind == INIT1)
		writer_u8(&w, (uint8_t)fields->n_ciphers);
	for (size_t i = 0; i < fields->n_ciphers; i++)
		writer_u16(&w, fields->ciphers[i]);
	writer_bytes(&w, fields->nonce, WIRE_NONCE_LEN);
	writer_bytes(&w, fields->public_key, fields->public_key_len);
	if (w.failed)
		return TCPCRYPT_E_ARGUMENT;
	*ret_len = w.len;
	return 0;
}
