/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One encryption frame (RFC 8548 section 3.6, 4.2), sealed and opened in place. Knows keys
 * and offsets only as arguments; who counts them is core/rekey.
 */
#ifndef CORE_FRAME_H
#define CORE_FRAME_H

#include "core/wire.h"

/* What seals or opens a frame. */
struct frame_key {
	const struct tcpcrypt_crypto *crypto;
	struct tcpcrypt_aead *aead;
	const uint8_t *randomizer; /* NR, TCPCRYPT_AEAD_NONCE_LEN bytes */
	uint64_t offset;	   /* of the frame in its direction's TCP data stream */
};

struct frame_content {
	bool rekey; /* control bit; the rest of the control byte is reserved */
	bool fin;
	bool has_urgent;
	uint16_t urgent;
	uint8_t *data;
	const uint8_t *from; /* to be sealed: where the data lies; NULL: in the frame */
	size_t data_len;
};

/*
 * How long is the frame that starts at in? 0 and *ret_len when its header is there, which
 * says nothing about the rest; TCPCRYPT_AGAIN when the header is incomplete (*ret_len: bytes
 * needed to tell); TCPCRYPT_E_BAD_FRAME when no frame can be that short.
 */
int frame_measure(const uint8_t *in, size_t len, size_t *ret_len);

/* Does the control byte announce a new key generation? Believe it after frame_open() only. */
bool frame_has_rekey(const uint8_t *frame);

/*
 * Opens the complete frame of len bytes. The result's data lies inside it. After an error
 * its bytes are wiped: TCPCRYPT_E_AUTH, or TCPCRYPT_E_BAD_FRAME for impossible contents.
 */
int frame_open(const struct frame_key *key, uint8_t *frame, size_t len, struct frame_content *ret);

/* The most data that a frame can carry. */
size_t frame_data_max(bool has_urgent);

/*
 * Seals content->data_len bytes that stand at content->from, or at frame + TCPCRYPT_FRAME_HEADROOM
 * (or _URGENT); content->data is not used. *ret_len is the whole frame's length.
 */
int frame_seal(const struct frame_key *key, uint8_t *frame, const struct frame_content *content,
	       size_t *ret_len);

#endif
