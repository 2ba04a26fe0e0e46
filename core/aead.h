/* SPDX-License-Identifier: BSD-2-Clause */
/* Table 3 of RFC 8548 and how much one key of each algorithm may seal. */
#ifndef CORE_AEAD_H
#define CORE_AEAD_H

#include "core/wire.h"

struct aead_limits {
	uint16_t aead;
	uint8_t key_len;
	/* Go to the next generation after so much under one key ... */
	uint64_t rekey_bytes, rekey_frames;
	/* ... and never seal more than this, whatever the peer does. */
	uint64_t max_frames;
};

/* NULL: not an AEAD of this implementation. */
const struct aead_limits *aead_find(uint16_t aead);

#endif
