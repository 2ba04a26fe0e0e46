/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The one reader of SYN-form ENO options (RFC 8547 section 4.1-4.4), shared by core/eno.c
 * and by the BPF programs: a machine that is fed the option's contents byte by byte and so
 * cannot read past their end. It includes nothing but fixed-width integers, has no loop
 * and no memory but its own, which lets the BPF verifier follow it.
 */
#ifndef CORE_ENO_SCAN_H
#define CORE_ENO_SCAN_H

#include <stdint.h>

/* Figure 4: the first octet of a suboption is v | glt. */
#define ENO_V		 0x80
#define ENO_GLT		 0x7f
#define ENO_TEP_FIRST	 0x20 /* glt below: global suboption (v = 0) or length byte (v = 1) */
#define ENO_LENGTH_NNNNN 0x1f

enum eno_scan_expect {
	ENO_SCAN_EXPECT_SUBOPTION,
	ENO_SCAN_EXPECT_TEP, /* a length byte came, a TEP identifier with v = 1 must follow */
	ENO_SCAN_EXPECT_DATA,
	ENO_SCAN_ILL_FORMED,
};

/* What the byte just fed turned out to be. */
enum eno_scan_token {
	ENO_SCAN_NOTHING, /* a length byte, or a byte of suboption data */
	ENO_SCAN_GLOBAL,
	ENO_SCAN_TEP, /* its data, s->data_left bytes of it, follows */
	ENO_SCAN_BAD, /* section 4.4: ignore the whole option, disable encryption */
};

struct eno_scan {
	uint32_t expect;    /* enum eno_scan_expect */
	uint32_t data_left; /* bytes of data still to come in this suboption */
};

/* Feeds one byte; after it, left more bytes follow in the option. */
static inline enum eno_scan_token eno_scan_byte(struct eno_scan *s, uint8_t byte, uint32_t left)
{
	uint8_t glt = byte & ENO_GLT;

	switch (s->expect) {
	case ENO_SCAN_EXPECT_DATA:
		s->data_left--;
		if (s->data_left == 0)
			s->expect = ENO_SCAN_EXPECT_SUBOPTION;
		return ENO_SCAN_NOTHING;
	case ENO_SCAN_EXPECT_TEP:
		/* 8547-4.4-3, 8547-4.4-4: only a TEP identifier with v = 1 may follow. */
		if (!(byte & ENO_V) || glt < ENO_TEP_FIRST)
			break;
		s->expect = ENO_SCAN_EXPECT_DATA;
		return ENO_SCAN_TEP;
	case ENO_SCAN_EXPECT_SUBOPTION:
		if (glt >= ENO_TEP_FIRST) {
			/* Without a length byte the data reaches to the option's end. */
			s->data_left = byte & ENO_V ? left : 0;
			if (s->data_left)
				s->expect = ENO_SCAN_EXPECT_DATA;
			return ENO_SCAN_TEP;
		}
		if (!(byte & ENO_V))
			return ENO_SCAN_GLOBAL;
		/* 8547-4.1-4: a length byte. 8547-4.4-5: TEP and data must fit behind it. */
		s->data_left = (byte & ENO_LENGTH_NNNNN) + 1;
		if (left < s->data_left + 1)
			break;
		s->expect = ENO_SCAN_EXPECT_TEP;
		return ENO_SCAN_NOTHING;
	default:
		break;
	}
	s->expect = ENO_SCAN_ILL_FORMED;
	return ENO_SCAN_BAD;
}

#endif
