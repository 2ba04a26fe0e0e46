/* SPDX-License-Identifier: BSD-2-Clause */
/* Init messages: the first byte chooses kind and TEP, the rest is the stream. */
#include "core/init.h"
#include "fuzz/fuzz.h"

static void check(const struct init_message *m, const uint8_t *message, size_t len)
{
	FUZZ_EXPECT(m->ciphers >= message + WIRE_INIT_HEADER_LEN);
	FUZZ_EXPECT(m->nonce == m->ciphers + 2 * m->n_ciphers);
	FUZZ_EXPECT(m->public_key == m->nonce + WIRE_NONCE_LEN);
	FUZZ_EXPECT(m->public_key + m->public_key_len <= message + len);
}

/* What was read and has no ignored bytes can be written again, if we would send as much. */
static void rewrite(enum init_kind kind, const struct init_message *m, const uint8_t *message,
		    size_t len)
{
	uint8_t out[WIRE_INIT_SENT_MAX];
	uint16_t ciphers[255];
	struct init_fields fields = { ciphers, m->n_ciphers, m->nonce, m->public_key,
				      m->public_key_len };
	size_t out_len;

	for (size_t i = 0; i < m->n_ciphers; i++)
		ciphers[i] = init_cipher(m, i);
	if (init_encode(kind, &fields, out, &out_len) == 0 && out_len == len)
		FUZZ_EXPECT(memcmp(out, message, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint16_t preferences[] = { 1, 16, 2 };
	struct fuzz_input in = { data, len };
	uint8_t choice = fuzz_byte(&in);
	enum init_kind kind = choice & 1 ? INIT2 : INIT1;
	uint8_t tep = (uint8_t)(TCPCRYPT_TEP_P256 + (choice >> 1) % 4);
	struct init_message m;
	size_t message_len = 0;
	int r;

	r = init_measure(kind, in.at, in.left, &message_len);
	if (r == TCPCRYPT_AGAIN)
		FUZZ_EXPECT(message_len > in.left && message_len <= WIRE_INIT_MAX);
	if (r != 0)
		return 0;
	FUZZ_EXPECT(message_len <= in.left);
	if (init_decode(kind, tep, in.at, message_len, &m) != 0)
		return 0;
	check(&m, in.at, message_len);
	rewrite(kind, &m, in.at, message_len);
	if (kind == INIT1)
		init_choose_cipher(&m, preferences, 3);
	return 0;
}
