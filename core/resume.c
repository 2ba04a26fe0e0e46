/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kdf.h"
#include "core/mem.h"
#include "core/resume.h"

int resume_identifier(const struct tcpcrypt_crypto *crypto, const uint8_t ss[static WIRE_K_LEN],
		      uint8_t id[static WIRE_RESUME_ID_LEN])
{
	const struct tcpcrypt_span nothing = { NULL, 0 };

	return kdf_expand(crypto, ss, WIRE_CONST_RESUME, nothing, id, WIRE_RESUME_ID_LEN);
}

const uint8_t *resume_half(const uint8_t id[static WIRE_RESUME_ID_LEN],
			   enum tcpcrypt_role original_role)
{
	return original_role == TCPCRYPT_ROLE_A ? id : id + WIRE_RESUME_HALF_LEN;
}

enum tcpcrypt_role resume_other_role(enum tcpcrypt_role role)
{
	return role == TCPCRYPT_ROLE_A ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A;
}

bool resume_data_fits(size_t data_len)
{
	/* 8548-3.5-1, 8548-3.5-4, 8548-3.5-5: the nonce behind the half has 0 to 8 bytes. */
	return data_len >= WIRE_RESUME_HALF_LEN && data_len <= WIRE_RESUME_DATA_MAX;
}

/* 8548-3.5-17 */
int tcpcrypt_session_next_secret_advance(const struct tcpcrypt_crypto *crypto,
				 struct tcpcrypt_next_secret *s)
{
	uint8_t next[WIRE_K_LEN];
	int r = kdf_next_secret(crypto, s->secret, next);

	if (r == 0)
		r = resume_identifier(crypto, next, s->identifier);
	memcpy(s->secret, next, sizeof(s->secret));
	mem_wipe(next, sizeof(next));
	return r;
}
