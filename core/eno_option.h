/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading ENO options (RFC 8547 section 4.1-4.4): out of a TCP header, and apart. */
#ifndef CORE_ENO_OPTION_H
#define CORE_ENO_OPTION_H

#include "core/wire.h"

/* One TEP suboption; data lies inside the option (8547-4.4-1, 8547-4.4-6). */
struct eno_suboption {
	uint8_t octet; /* v | glt */
	bool length_byte;
	const uint8_t *data;
	size_t data_len;
};

/* Every octet of an option's contents can be a suboption. */
#define ENO_SUBOPTIONS_MAX (TCPCRYPT_ENO_OPTION_MAX - WIRE_OPTION_HEADER_LEN)

struct eno_option {
	uint8_t global; /* the first global suboption, or 0 */
	bool explicit_global;
	size_t n_teps;
	struct eno_suboption teps[ENO_SUBOPTIONS_MAX]; /* in the order of the option */
};

/*
 * Takes a whole SYN-form option (kind and length included) apart. 0, or positive
 * TCPCRYPT_ENO_ILL_FORMED (section 4.4), with *ret untouched.
 */
int eno_option_decode(const uint8_t *option, size_t len, struct eno_option *ret);

/* How many suboptions have this TEP identifier; *ret_last is the last of them, or NULL. */
size_t eno_option_count(const struct eno_option *option, uint8_t tep,
			const struct eno_suboption **ret_last);

/*
 * Looks for ENO in the option area of a TCP header (8547-4.1-5, 8547-4.1-6, 8547-4.1-7: what
 * more than one means is the caller's to say, by the SYN flag): gives the number of ENO options and, in
 * *ret_option and *ret_len, where the first of them is. Where the area is broken, the options
 * before count and the rest does not exist (D14).
 */
size_t eno_option_find(const uint8_t *area, size_t len, const uint8_t **ret_option,
		       size_t *ret_len);

#endif
