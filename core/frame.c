/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cursor.h"
#include "core/frame.h"

/*
 * 8548-3.6-3: the offset in the stream never repeats under one key, so neither does the
 * nonce. Section 4.2.3: the offset is the last 8 bytes of the frame ID, zeros before it.
 */
static void frame_nonce(const struct frame_key *key, uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN])
{
	memcpy(nonce, key->randomizer, TCPCRYPT_AEAD_NONCE_LEN);
	for (size_t i = 0; i < 8; i++)
		nonce[WIRE_FRAME_ID_OFFSET + i] ^= (uint8_t)(key->offset >> (56 - 8 * i));
}

int frame_measure(const uint8_t *in, size_t len, size_t *ret_len)
{
	struct reader r = reader_over(in, len);
	size_t clen;

	reader_u8(&r);
	clen = reader_u16(&r);
	if (r.failed) {
		*ret_len = WIRE_FRAME_HEADER_LEN;
		return TCPCRYPT_AGAIN;
	}
	/* D16: no plaintext is so short; waiting for the rest would not mend it. */
	if (clen < WIRE_CLEN_MIN)
		return TCPCRYPT_E_BAD_FRAME;
	*ret_len = WIRE_FRAME_HEADER_LEN + clen;
	return 0;
}

bool frame_has_rekey(const uint8_t *frame)
{
	/* 8548-4.2-1: the other seven bits mean nothing. */
	return frame[0] & WIRE_CONTROL_REKEY;
}

/* Section 4.2.1. plain is authentic, so what is wrong here is the peer's own doing; urgent
 * data comes from here and never from TCP's header (8547-5-13). */
static int frame_parse(uint8_t *plain, size_t len, struct frame_content *content)
{
	struct reader r = reader_over(plain, len);
	uint8_t flags = reader_u8(&r);

	/* 8548-4.2.1-1: the six reserved bits are not looked at. */
	content->fin = flags & WIRE_FLAG_FINP;
	content->has_urgent = flags & WIRE_FLAG_URGP;
	content->urgent = content->has_urgent ? reader_u16(&r) : 0;
	if (r.failed)
		return TCPCRYPT_E_BAD_FRAME;
	content->data_len = r.left;
	content->data = plain + (len - r.left);
	return 0;
}

int frame_open(const struct frame_key *key, uint8_t *frame, size_t len, struct frame_content *ret)
{
	struct frame_content content = { 0 };
	uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN];
	uint8_t *plain = frame + WIRE_FRAME_HEADER_LEN;
	size_t plain_len;
	int r;

	if (len < WIRE_FRAME_EMPTY_LEN)
		return TCPCRYPT_E_BAD_FRAME;
	content.rekey = frame_has_rekey(frame);
	plain_len = len - WIRE_FRAME_HEADER_LEN - TCPCRYPT_AEAD_TAG_LEN;
	frame_nonce(key, nonce);
	/* 8547-5-2: the header as received is the associated data, reserved bits included. */
	r = key->crypto->aead_open(key->aead, nonce, frame, WIRE_FRAME_HEADER_LEN, plain, plain_len,
				   plain + plain_len);
	if (r == 0)
		r = frame_parse(plain, plain_len, &content);
	if (r < 0) {
		/* 8548-3.6-5: what did not authenticate is gone before anybody can read it. */
		mem_wipe(plain, plain_len);
		return r;
	}
	*ret = content;
	return 0;
}

size_t frame_data_max(bool has_urgent)
{
	/* 8548-3.6-2: clen has 16 bits. */
	return WIRE_CLEN_MAX - TCPCRYPT_AEAD_TAG_LEN - WIRE_FLAGS_LEN -
	       (has_urgent ? WIRE_URGENT_LEN : 0);
}

int frame_seal(const struct frame_key *key, uint8_t *frame, const struct frame_content *content,
	       size_t *ret_len)
{
	struct writer w = writer_over(frame, TCPCRYPT_FRAME_HEADROOM_URGENT);
	uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN];
	const struct tcpcrypt_span text = { content->from, content->data_len };
	uint8_t *plain = frame + WIRE_FRAME_HEADER_LEN;
	size_t plain_len, elsewhere = content->from ? content->data_len : 0;
	int r;

	if (content->data_len > frame_data_max(content->has_urgent))
		return TCPCRYPT_E_ARGUMENT;
	plain_len = WIRE_FLAGS_LEN + (content->has_urgent ? WIRE_URGENT_LEN : 0) +
		    content->data_len;
	/* 8548-4.2-1, 8548-4.2.1-1: reserved bits are sent as zero. */
	writer_u8(&w, content->rekey ? WIRE_CONTROL_REKEY : 0);
	writer_u16(&w, (uint16_t)(plain_len + TCPCRYPT_AEAD_TAG_LEN));
	writer_u8(&w,
		  (content->fin ? WIRE_FLAG_FINP : 0) | (content->has_urgent ? WIRE_FLAG_URGP : 0));
	/* 8547-5-14: sealed with the data. */
	if (content->has_urgent)
		writer_u16(&w, content->urgent);
	frame_nonce(key, nonce);
	r = key->crypto->aead_seal(key->aead, nonce, frame, WIRE_FRAME_HEADER_LEN, plain,
				   plain_len - elsewhere, elsewhere ? &text : NULL,
				   plain + plain_len);
	if (r < 0)
		return r;
	*ret_len = WIRE_FRAME_HEADER_LEN + plain_len + TCPCRYPT_AEAD_TAG_LEN;
	return 0;
}
