/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lengths, code points and bits of RFC 8547 and RFC 8548, on one page and without logic.
 * What a program outside core/ needs too stands in the public headers.
 */
#ifndef CORE_WIRE_H
#define CORE_WIRE_H

#include <tcpcrypt/eno.h>

/* clang-format off */

/* TCP options (RFC 9293 section 3.1). */
#define WIRE_OPTION_END		0
#define WIRE_OPTION_NOP		1
#define WIRE_OPTION_HEADER_LEN	2 /* kind, length */

/* ENO suboptions (RFC 8547 section 4.1-4.4); the first octet's parts are in eno_scan.h. */
#define WIRE_ENO_LENGTH_BYTE	0x80 /* | length of the data - 1 */
#define WIRE_ENO_DATA_MAX	32   /* data that a length byte can announce */

/* Resumption suboption (RFC 8548 section 3.5, figures 2 and 3). */
#define WIRE_RESUME_ID_LEN	18
#define WIRE_RESUME_HALF_LEN	(WIRE_RESUME_ID_LEN / 2)
#define WIRE_RESUME_NONCE_MAX	8
#define WIRE_RESUME_DATA_MAX	(WIRE_RESUME_HALF_LEN + WIRE_RESUME_NONCE_MAX)
#define WIRE_SN_MAX		(2 * WIRE_RESUME_NONCE_MAX)

/* Table 1: constants of the key schedule and of the Init messages. */
#define WIRE_CONST_NEXTK	0x01
#define WIRE_CONST_SESSID	0x02
#define WIRE_CONST_REKEY	0x03
#define WIRE_CONST_KEY_A	0x04
#define WIRE_CONST_KEY_B	0x05
#define WIRE_CONST_RESUME	0x06
#define WIRE_INIT1_MAGIC	0x15101a0e
#define WIRE_INIT2_MAGIC	0x097105e0

/* Section 5: lengths that all four TEPs share. 8548-5-1: K_LEN is at least 32. */
#define WIRE_NONCE_LEN		32 /* N_A_LEN, N_B_LEN */
#define WIRE_K_LEN		TCPCRYPT_SECRET_LEN
#define WIRE_X25519_LEN		32
#define WIRE_X448_LEN		56
#define WIRE_POINT_LEN_LEN	2  /* pubkey_len in front of a NIST point */

/* Figures of section 4.1. */
#define WIRE_INIT_HEADER_LEN	8 /* magic, message_len */
#define WIRE_INIT_MAX		65536 /* accepted message_len, ignored bytes included: D10 */
#define WIRE_INIT1_FIXED_LEN	(WIRE_INIT_HEADER_LEN + 1 + WIRE_NONCE_LEN)
#define WIRE_INIT2_FIXED_LEN	(WIRE_INIT_HEADER_LEN + 2 + WIRE_NONCE_LEN)
#define WIRE_INIT_SENT_MAX	(WIRE_INIT1_FIXED_LEN + 2 * TCPCRYPT_AEADS_MAX + \
				 TCPCRYPT_PUBLIC_KEY_MAX)

/* Encryption frames, section 4.2. */
#define WIRE_FRAME_HEADER_LEN	3 /* control, clen; also the associated data */
#define WIRE_CLEN_MAX		65535
#define WIRE_CLEN_MIN		(1 + TCPCRYPT_AEAD_TAG_LEN) /* flags and tag */
#define WIRE_CONTROL_REKEY	0x01
#define WIRE_FLAG_FINP		0x01
#define WIRE_FLAG_URGP		0x02
#define WIRE_FLAGS_LEN		1
#define WIRE_URGENT_LEN		2
#define WIRE_FRAME_EMPTY_LEN	(WIRE_FRAME_HEADER_LEN + WIRE_CLEN_MIN)
#define WIRE_FRAME_ID_OFFSET	(TCPCRYPT_AEAD_NONCE_LEN - 8)

/* Figure 4: a traffic key is the AEAD key K, then the nonce randomizer NR. */
#define WIRE_TRAFFIC_KEY_MAX	(TCPCRYPT_AEAD_KEY_MAX + TCPCRYPT_AEAD_NONCE_LEN)

/* clang-format on */
#endif
