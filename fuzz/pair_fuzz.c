/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two sessions over a wire that the fuzzer cuts, changes and ends as it likes. Whatever it
 * does, each end delivers a prefix of what the other sent, and end of file only after all of it.
 */
#include "fuzz/fuzz.h"
#include "test/unit/pair.h"

enum step { SEND, SEND_FIN, SEND_URGENT, DELIVER, REKEY, FLIP, DROP, INSERT, TCP_FIN, N_STEPS };

static void check(const struct pair_end *from, const struct pair_end *to)
{
	FUZZ_EXPECT(to->received.len <= from->sent.len);
	if (to->received.len)
		FUZZ_EXPECT(memcmp(to->received.data, from->sent.data, to->received.len) == 0);
	if (to->eof)
		FUZZ_EXPECT(from->sent_fin && to->received.len == from->sent.len);
}

static void send_some(struct pair_end *end, uint8_t amount, unsigned int flags)
{
	static uint8_t data[255 * 8];

	if (!tcpcrypt_session_can_send(end->session))
		return;
	memset(data, (int)end->sent.len, sizeof(data));
	pair_send(end, data, amount * 8u, flags, amount);
}

static bool spoil(struct pair_buffer *wire, enum step step, uint8_t where)
{
	size_t at = wire->len * where / 256;

	if (!wire->len)
		return false;
	if (step == FLIP)
		wire->data[at] ^= 1 << where % 8;
	else if (step == DROP)
		wire->len = at;
	else
		pair_append(wire, (const uint8_t[]){ where }, 1);
	return true;
}

static void take_step(struct pair *pair, struct pair_end *end, enum step step, uint8_t amount,
		      bool *ret_spoiled)
{
	switch (step) {
	case SEND:
		send_some(end, amount, 0);
		break;
	case SEND_FIN:
		send_some(end, amount, TCPCRYPT_TX_FIN);
		break;
	case SEND_URGENT:
		send_some(end, amount, TCPCRYPT_TX_URGENT);
		break;
	case REKEY:
		tcpcrypt_session_rekey(end->session);
		break;
	case DELIVER:
		pair_flush(end);
		pair_deliver(pair, end, amount ? amount : SIZE_MAX);
		break;
	case FLIP:
	case DROP:
	case INSERT:
		*ret_spoiled |= spoil(&end->wire, step, amount);
		break;
	case TCP_FIN:
		if (!end->error && pair_fin(end) == 0)
			FUZZ_EXPECT(end->eof);
		*ret_spoiled = true;
		break;
	case N_STEPS:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	uint8_t choice = fuzz_byte(&in);
	/* Either may have been host A in the original session. */
	struct tcpcrypt_resumption a = { .original_role = choice & 4 ? TCPCRYPT_ROLE_B
								     : TCPCRYPT_ROLE_A,
					 .aead = 1,
					 .nonces_len = choice >> 4 },
				   b = a;
	struct pair_params params = {
		.tep = TCPCRYPT_TEP_X25519,
		.aead = 1,
		.rekey_bytes = choice & 2 ? 100 : 0,
		/* Most of the time without the costly key exchange. */
		.resume_a = choice & 1 ? &a : NULL,
		.resume_b = choice & 1 ? &b : NULL,
	};
	bool spoiled = false;
	struct pair pair;

	b.original_role = choice & 4 ? TCPCRYPT_ROLE_A : TCPCRYPT_ROLE_B;
	FUZZ_EXPECT(pair_init(&pair, &params) == 0);
	for (int steps = 0; in.left && steps < 200; steps++) {
		uint8_t what = fuzz_byte(&in), amount = fuzz_byte(&in);

		take_step(&pair, what & 0x80 ? &pair.b : &pair.a,
			  (enum step)((what & 0x7f) % N_STEPS), amount, &spoiled);
		check(&pair.a, &pair.b);
		check(&pair.b, &pair.a);
	}
	/* An honest wire delivers everything. */
	if (!spoiled) {
		pair_run(&pair, SIZE_MAX);
		FUZZ_EXPECT(!pair.a.error && !pair.b.error);
		FUZZ_EXPECT(pair.b.received.len == pair.a.sent.len);
		FUZZ_EXPECT(pair.a.received.len == pair.b.sent.len);
		FUZZ_EXPECT(pair.b.eof == pair.a.sent_fin && pair.a.eof == pair.b.sent_fin);
	}
	pair_deinit(&pair);
	return 0;
}
