/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key generations (RFC 8548 section 3.8). Each direction of a session walks along the chain
 * of master keys on its own; how far ahead the local one may go is decided here.
 */
#ifndef CORE_REKEY_H
#define CORE_REKEY_H

#include "core/aead.h"
#include "core/frame.h"

/* One direction of the stream: its keys of one generation and its position. Owns aead. */
struct rekey_direction {
	struct tcpcrypt_aead *aead;
	const struct aead_limits *limits;
	uint8_t label; /* WIRE_CONST_KEY_A or _B */
	uint8_t master[WIRE_K_LEN];
	uint8_t randomizer[TCPCRYPT_AEAD_NONCE_LEN];
	uint64_t generation; /* of the keys that are loaded */
	uint64_t offset;     /* of the next frame (D13) */
	uint64_t app_bytes;  /* of the application stream, so far */
	uint64_t key_bytes;  /* under the loaded key */
	uint64_t key_frames;
};

/*
 * Puts a direction at generation 0, its next frame at offset, and allocates the backend's
 * context. Also after an error, rekey_deinit() cleans up.
 */
int rekey_init(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto, uint16_t aead,
	       const uint8_t master[static WIRE_K_LEN], uint8_t label, uint64_t offset);
/* Wipes the keys; what was counted can still be read. */
void rekey_deinit(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto);

/*
 * other, here and below: the session's other direction, which may be in the next generation already
 * and then has the master key of both; its keys are there as long as these.
 */

/* Goes to the next generation for good; the older key is overwritten. */
int rekey_advance(struct rekey_direction *d, const struct rekey_direction *other,
		  const struct tcpcrypt_crypto *crypto);

/*
 * Opens the next frame of the direction, with the next generation's keys if it says so, and
 * moves on only if it is authentic (D22). The direction is unusable after an error.
 */
int rekey_open(struct rekey_direction *d, const struct rekey_direction *other,
	       const struct tcpcrypt_crypto *crypto, uint8_t *frame, size_t len,
	       struct frame_content *ret);

/* Seals the next frame. TCPCRYPT_E_LIMIT when offset or key are used up. */
int rekey_seal(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto, uint8_t *frame,
	       const struct frame_content *content, size_t *ret_len);

/* Is it time for new keys? bytes: the session's own limit, 0 for the AEAD's. */
bool rekey_due(const struct rekey_direction *d, uint64_t bytes);

#endif
