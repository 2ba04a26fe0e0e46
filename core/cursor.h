/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one bounds-checked reader and the one writer of wire formats. Both remember failure:
 * a caller makes all its calls and asks once at the end. Integers are big-endian.
 */
#ifndef CORE_CURSOR_H
#define CORE_CURSOR_H

#include "core/mem.h"

struct reader {
	const uint8_t *at;
	size_t left;
	bool failed;
};

static inline struct reader reader_over(const uint8_t *data, size_t len)
{
	return (struct reader){ .at = data, .left = len };
}

/* NULL, and failed, when fewer than len bytes are left. */
static inline const uint8_t *reader_bytes(struct reader *r, size_t len)
{
	const uint8_t *bytes = r->at;

	if (r->failed || r->left < len) {
		r->failed = true;
		return NULL;
	}
	r->at += len;
	r->left -= len;
	return bytes;
}

static inline uint32_t reader_integer(struct reader *r, size_t len)
{
	const uint8_t *bytes = reader_bytes(r, len);
	uint32_t value = 0;

	for (size_t i = 0; bytes && i < len; i++)
		value = value << 8 | bytes[i];
	return value;
}

static inline uint8_t reader_u8(struct reader *r)
{
	return (uint8_t)reader_integer(r, 1);
}

static inline uint16_t reader_u16(struct reader *r)
{
	return (uint16_t)reader_integer(r, 2);
}

static inline uint32_t reader_u32(struct reader *r)
{
	return reader_integer(r, 4);
}

struct writer {
	uint8_t *start;
	size_t len;
	size_t room;
	bool failed;
};

static inline struct writer writer_over(uint8_t *out, size_t room)
{
	return (struct writer){ .start = out, .room = room };
}

static inline void writer_bytes(struct writer *w, const uint8_t *bytes, size_t len)
{
	if (w->failed || w->room - w->len < len) {
		w->failed = true;
		return;
	}
	if (len)
		memcpy(w->start + w->len, bytes, len);
	w->len += len;
}

static inline void writer_u8(struct writer *w, uint8_t value)
{
	writer_bytes(w, &value, 1);
}

static inline void writer_u16(struct writer *w, uint16_t value)
{
	uint8_t bytes[] = { value >> 8, value & 0xff };

	writer_bytes(w, bytes, sizeof(bytes));
}

static inline void writer_u32(struct writer *w, uint32_t value)
{
	writer_u16(w, value >> 16);
	writer_u16(w, value & 0xffff);
}

#endif
