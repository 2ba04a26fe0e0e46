/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session whose peer has the keys and behaves as the fuzzer likes: authentic frames with any
 * flags, any generation and any content, between calls of this host. What is delivered is what
 * was sealed, and end of file comes with FINp and never else.
 */
#include "core/kdf.h"
#include "core/rekey.h"
#include "fuzz/fuzz.h"
#include "test/unit/pair.h"

/* The hostile end: host A of a resumed session, without a session of its own. */
struct peer {
	struct rekey_direction tx;
	uint64_t sent;
	bool fin, broken;
};

static const struct tcpcrypt_resumption secret = { .secret = { 1 }, .aead = 1 };

static void peer_init(struct peer *p)
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	const struct tcpcrypt_span none = { NULL, 0 };
	uint8_t master[WIRE_K_LEN];

	*p = (struct peer){ 0 };
	FUZZ_EXPECT(kdf_first_master(crypto, secret.secret, none, master) == 0);
	FUZZ_EXPECT(rekey_init(&p->tx, crypto, secret.aead, master, WIRE_CONST_KEY_A, 0) == 0);
}

/* Seals plain[0..len), flags included, behind any control byte. */
static size_t peer_seal(struct peer *p, uint8_t *out, uint8_t control, const uint8_t *plain,
			size_t len)
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	size_t clen = len + TCPCRYPT_AEAD_TAG_LEN;
	uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN];

	if (control & WIRE_CONTROL_REKEY)
		FUZZ_EXPECT(rekey_advance(&p->tx, &p->tx, crypto) == 0);
	memcpy(nonce, p->tx.randomizer, sizeof(nonce));
	for (size_t i = 0; i < 8; i++)
		nonce[WIRE_FRAME_ID_OFFSET + i] ^= (uint8_t)(p->tx.offset >> (56 - 8 * i));
	out[0] = control;
	out[1] = (uint8_t)(clen >> 8);
	out[2] = (uint8_t)clen;
	memcpy(out + 3, plain, len);
	FUZZ_EXPECT(crypto->aead_seal(p->tx.aead, nonce, out, 3, out + 3, len, NULL,
				      out + 3 + len) == 0);
	p->tx.offset += 3 + clen;
	return 3 + clen;
}

/* What the session must make of it: 0 or its error. */
static int expected(const struct peer *p, const uint8_t *plain, size_t len)
{
	if (p->fin)
		return TCPCRYPT_E_AFTER_FIN;
	return len < (plain[0] & WIRE_FLAG_URGP ? 3u : 1u) ? TCPCRYPT_E_BAD_FRAME : 0;
}

static void check(struct peer *p, const struct tcpcrypt_received *rx, const uint8_t *plain,
		  size_t len, bool rekey)
{
	bool urgent = plain[0] & WIRE_FLAG_URGP, fin = plain[0] & WIRE_FLAG_FINP;
	size_t header = urgent ? 3 : 1;

	FUZZ_EXPECT(!!(rx->events & TCPCRYPT_RX_EOF) == fin);
	FUZZ_EXPECT(!!(rx->events & TCPCRYPT_RX_REKEYED) == rekey);
	FUZZ_EXPECT(!!(rx->events & TCPCRYPT_RX_DATA) == (len > header));
	FUZZ_EXPECT(!!(rx->events & TCPCRYPT_RX_URGENT) == urgent);
	if (len > header) {
		FUZZ_EXPECT(rx->data_len == len - header);
		FUZZ_EXPECT(memcmp(rx->data, plain + header, rx->data_len) == 0);
	}
	if (urgent)
		FUZZ_EXPECT(rx->urgent_index == p->sent + (plain[1] << 8 | plain[2]));
	p->sent += len - header;
	p->fin = fin;
}

static void send_frame(struct peer *p, struct pair_end *end, struct fuzz_input *in)
{
	uint8_t control = fuzz_byte(in), frame[3 + 255 + TCPCRYPT_AEAD_TAG_LEN];
	size_t plain_len = fuzz_byte(in), len;
	const uint8_t *plain = fuzz_bytes(in, &plain_len);
	struct tcpcrypt_received rx;
	int r, expect;

	if (!plain_len)
		return;
	expect = expected(p, plain, plain_len);
	len = peer_seal(p, frame, control, plain, plain_len);
	r = tcpcrypt_session_receive(end->session, frame, len, &rx);
	FUZZ_EXPECT(r == expect);
	p->broken = r < 0;
	if (r == 0)
		check(p, &rx, plain, plain_len, control & WIRE_CONTROL_REKEY);
}

static void act(struct pair_end *end, uint8_t what)
{
	struct tcpcrypt_session_info info;

	if (what % 4 == 1)
		tcpcrypt_session_rekey(end->session);
	else if (what % 4 == 2 && tcpcrypt_session_can_send(end->session))
		pair_send(end, &what, 1, what & 0x80 ? TCPCRYPT_TX_FIN : 0, 0);
	else
		pair_flush(end);
	FUZZ_EXPECT(!end->error);
	tcpcrypt_session_info(end->session, &info);
	/* 8548-3.8-4: never behind the peer; and 8548-3.8-6: one step ahead without data. */
	FUZZ_EXPECT(info.local_generation >= info.remote_generation);
	FUZZ_EXPECT(info.local_generation <= info.remote_generation + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct tcpcrypt_resumption b = secret;
	struct pair_params params = { .tep = TCPCRYPT_TEP_X25519, .aead = 1, .resume_b = &b };
	struct fuzz_input in = { data, len };
	struct pair_end end = { 0 };
	struct peer peer;

	b.original_role = TCPCRYPT_ROLE_B;
	end.session = pair_session(&params, TCPCRYPT_ROLE_B, &end.error);
	FUZZ_EXPECT(end.session);
	peer_init(&peer);
	while (in.left && !peer.broken) {
		uint8_t what = fuzz_byte(&in);

		if (what & 0x40)
			act(&end, what);
		else
			send_frame(&peer, &end, &in);
	}
	/* 8548-3.7-2, 8548-3.7-3 */
	if (!peer.broken)
		FUZZ_EXPECT(tcpcrypt_session_receive_fin(end.session, 0) ==
			    (peer.fin ? 0 : TCPCRYPT_E_TRUNCATED));
	tcpcrypt_session_free(end.session);
	rekey_deinit(&peer.tx, tcpcrypt_crypto_openssl());
	free(end.wire.data);
	free(end.sent.data);
	return 0;
}
