/* SPDX-License-Identifier: BSD-2-Clause */
/* What names a cached session on the wire (RFC 8548 section 3.5). */
#ifndef CORE_RESUME_H
#define CORE_RESUME_H

#include "core/wire.h"

/* resume[i] from ss[i]. */
int resume_identifier(const struct tcpcrypt_crypto *crypto, const uint8_t ss[static WIRE_K_LEN],
		      uint8_t id[static WIRE_RESUME_ID_LEN]);

/* The half of an identifier that the host with this original role sends (8548-3.5-24). */
const uint8_t *resume_half(const uint8_t id[static WIRE_RESUME_ID_LEN],
			   enum tcpcrypt_role original_role);

/* The other role. */
enum tcpcrypt_role resume_other_role(enum tcpcrypt_role role);

/* May data of a v = 1 suboption be a resumption identifier and a nonce? */
bool resume_data_fits(size_t data_len);

#endif
