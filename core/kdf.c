/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kdf.h"
#include "core/mem.h"

static const struct tcpcrypt_span nothing = { NULL, 0 };

int kdf_expand(const struct tcpcrypt_crypto *crypto, const uint8_t key[static WIRE_K_LEN],
	       uint8_t constant, struct tcpcrypt_span suffix, uint8_t *out, size_t len)
{
	uint8_t block[TCPCRYPT_HASH_LEN];
	struct tcpcrypt_span spans[] = {
		{ block, 0 }, /* T(0) is empty */
		{ &constant, 1 },
		suffix,
		{ NULL, 1 },
	};
	size_t done = 0;
	int r = 0;

	if (len > 255 * sizeof(block))
		return TCPCRYPT_E_ARGUMENT;
	for (uint8_t counter = 1; done < len; counter++) {
		size_t take = len - done < sizeof(block) ? len - done : sizeof(block);

		spans[3].data = &counter;
		r = crypto->hmac(key, WIRE_K_LEN, spans, 4, block);
		if (r < 0)
			break;
		memcpy(out + done, block, take);
		done += take;
		spans[0].len = sizeof(block);
	}
	mem_wipe(block, sizeof(block));
	return r;
}

/*
 * 8547-4.8-1, 8547-4.8-2: the transcript goes in, so that an altered SYN option gives the two
 * hosts different keys. Both Init messages are hashed as transmitted.
 */
int kdf_extract(const struct tcpcrypt_crypto *crypto, const struct kdf_exchange *exchange,
		uint8_t prk[static WIRE_K_LEN])
{
	const struct tcpcrypt_span spans[] = {
		exchange->transcript,
		exchange->init1,
		exchange->init2,
		exchange->es,
	};

	return crypto->hmac(exchange->nonce_a, WIRE_NONCE_LEN, spans, 4, prk);
}

int kdf_next_secret(const struct tcpcrypt_crypto *crypto, const uint8_t ss[static WIRE_K_LEN],
		    uint8_t next[static WIRE_K_LEN])
{
	return kdf_expand(crypto, ss, WIRE_CONST_NEXTK, nothing, next, WIRE_K_LEN);
}

int kdf_first_master(const struct tcpcrypt_crypto *crypto, const uint8_t ss[static WIRE_K_LEN],
		     struct tcpcrypt_span sn, uint8_t mk[static WIRE_K_LEN])
{
	return kdf_expand(crypto, ss, WIRE_CONST_REKEY, sn, mk, WIRE_K_LEN);
}

int kdf_next_master(const struct tcpcrypt_crypto *crypto, const uint8_t mk[static WIRE_K_LEN],
		    uint8_t next[static WIRE_K_LEN])
{
	return kdf_expand(crypto, mk, WIRE_CONST_REKEY, nothing, next, WIRE_K_LEN);
}

int kdf_traffic_key(const struct tcpcrypt_crypto *crypto, const uint8_t mk[static WIRE_K_LEN],
		    uint8_t label, uint8_t *out, size_t len)
{
	return kdf_expand(crypto, mk, label, nothing, out, len);
}

/*
 * 8547-5-3, 8547-5.1-1, 8547-5.1-5, 8547-5.1-10, 8547-5.1-11: ss comes of all that both hosts
 * sent, so this does too. 8547-5.1-12, 8547-5.1-14, 8547-8.6-1: an output of HKDF under its own
 * constant tells nothing of ss, nor of the keys.
 */
int kdf_session_id(const struct tcpcrypt_crypto *crypto, uint8_t tep_byte,
		   const uint8_t ss[static WIRE_K_LEN], struct tcpcrypt_span sn,
		   uint8_t id[static TCPCRYPT_SESSION_ID_LEN])
{
	id[0] = tep_byte;
	return kdf_expand(crypto, ss, WIRE_CONST_SESSID, sn, id + 1, WIRE_K_LEN);
}
