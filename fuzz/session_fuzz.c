/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session whose peer is the fuzzer. Bytes arrive in pieces; whatever they are, nothing is
 * delivered, no end of file is reported and after an error nothing works any more.
 */
#include "fuzz/fuzz.h"
#include "test/unit/pair.h"

static const uint8_t teps[] = { 0x23, 0x21, 0x24, 0x22 };
static const uint16_t aeads[] = { 1, 2, 16 };

static void expect_dead(struct tcpcrypt_session *s)
{
	struct tcpcrypt_received rx;
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	size_t len;

	FUZZ_EXPECT(!tcpcrypt_session_can_send(s) && !tcpcrypt_session_has_output(s));
	FUZZ_EXPECT(tcpcrypt_session_receive(s, out, 1, &rx) == TCPCRYPT_E_STATE);
	FUZZ_EXPECT(tcpcrypt_session_output(s, out, &len) == TCPCRYPT_E_STATE);
	FUZZ_EXPECT(tcpcrypt_session_receive_fin(s, 0) == TCPCRYPT_E_STATE);
}

/* One piece more; false once the session has failed. */
static bool push(struct pair_end *end, const uint8_t *data, size_t len)
{
	struct tcpcrypt_received rx;
	uint8_t *exact;
	int r;

	pair_append(&end->in, data, len);
	do {
		exact = malloc(end->in.len + !end->in.len);
		FUZZ_EXPECT(exact);
		memcpy(exact, end->in.data, end->in.len);
		r = tcpcrypt_session_receive(end->session, exact, end->in.len, &rx);
		free(exact);
		if (r == 0) {
			FUZZ_EXPECT(rx.events == TCPCRYPT_RX_ESTABLISHED && rx.consumed > 0);
			pair_consume(&end->in, rx.consumed);
		}
	} while (r == 0 && end->in.len);
	FUZZ_EXPECT(r <= TCPCRYPT_AGAIN);
	if (r == TCPCRYPT_AGAIN)
		FUZZ_EXPECT(rx.need > end->in.len && rx.need <= TCPCRYPT_RECEIVE_MAX);
	return r >= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	uint8_t choice = fuzz_byte(&in);
	struct tcpcrypt_resumption resume = {
		.aead = aeads[choice % 3],
		.original_role = choice & 0x10 ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A,
		.nonces_len = choice >> 3 & 15,
	};
	struct pair_params params = {
		.tep = choice & 0x40 ? 0x23 : teps[choice >> 4 & 3],
		.aead = aeads[choice % 3],
	};
	struct pair_end end = { 0 };
	bool alive = true;

	if (choice & 0x80)
		params.resume_a = params.resume_b = &resume;
	end.session = pair_session(&params, choice & 0x08 ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A,
				   &end.error);
	FUZZ_EXPECT(end.session);
	while (alive && in.left) {
		size_t piece = fuzz_byte(&in);
		const uint8_t *bytes = fuzz_bytes(&in, &piece);

		pair_flush(&end);
		if (piece)
			alive = push(&end, bytes, piece);
	}
	if (alive)
		FUZZ_EXPECT(pair_fin(&end) == TCPCRYPT_E_TRUNCATED);
	expect_dead(end.session);
	tcpcrypt_session_free(end.session);
	free(end.wire.data);
	free(end.in.data);
	return 0;
}
