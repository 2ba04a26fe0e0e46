/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/eno_scan.h"
#include "core/exchange.h"
#include "core/kdf.h"
#include "core/mem.h"

void exchange_init(struct exchange *x, const struct tcpcrypt_session_params *p)
{
	*x = (struct exchange){
		.crypto = p->crypto,
		.tep = p->tep_byte & ENO_GLT,
		.transcript_len = p->transcript_len,
		.n_aeads = p->n_aeads,
		.keypair = p->keypair,
	};
	memcpy(x->transcript, p->transcript, p->transcript_len);
	memcpy(x->aeads, p->aeads, p->n_aeads * sizeof(p->aeads[0]));
}

static void forget_keypair(struct exchange *x)
{
	if (x->keypair)
		x->crypto->keypair_free(x->keypair);
	x->keypair = NULL;
}

void exchange_deinit(struct exchange *x)
{
	forget_keypair(x);
	mem_wipe(x, sizeof(*x));
}

/* Makes the own message, with a key pair and a nonce that nobody used before. */
static int make_init(struct exchange *x, enum init_kind kind, const uint16_t *ciphers,
		     size_t n_ciphers)
{
	uint8_t public_key[TCPCRYPT_PUBLIC_KEY_MAX];
	struct init_fields fields = {
		.ciphers = ciphers,
		.n_ciphers = n_ciphers,
		.nonce = x->nonce,
		.public_key = public_key,
	};
	int r = 0;

	/* 8548-3.3-3, 8548-8-2, 8547-5-7: the pair serves this one exchange; agree() frees it. */
	if (!x->keypair)
		r = x->crypto->keypair_new(x->tep, &x->keypair);
	if (r == 0)
		r = x->crypto->public_key(x->keypair, public_key, &fields.public_key_len);
	/* 8547-5.1-6, 8547-5.1-7: this host's own share, which a peer cannot choose for it.
	 * 8548-8-4: without randomness there is no session. */
	if (r == 0)
		r = x->crypto->random(x->nonce, sizeof(x->nonce));
	if (r == 0)
		r = init_encode(kind, &fields, x->init, &x->init_len);
	return r;
}

int exchange_offer(struct exchange *x)
{
	return make_init(x, INIT1, x->aeads, x->n_aeads);
}

/* ES and from it PRK; the private key and ES end here. */
static int agree(struct exchange *x, const struct init_message *peer, struct kdf_exchange *messages,
		 uint8_t prk[static WIRE_K_LEN])
{
	uint8_t es[TCPCRYPT_SHARED_SECRET_MAX];
	size_t es_len;
	int r;

	/* 8548-3.3-5: the backend validates the peer's key; the session aborts on its error. */
	r = x->crypto->agree(x->keypair, peer->public_key, peer->public_key_len, es, &es_len);
	forget_keypair(x);
	if (r == 0) {
		messages->transcript = (struct tcpcrypt_span){ x->transcript, x->transcript_len };
		messages->es = (struct tcpcrypt_span){ es, es_len };
		r = kdf_extract(x->crypto, messages, prk);
	}
	mem_wipe(es, sizeof(es));
	return r;
}

int exchange_accept_init1(struct exchange *x, const uint8_t *in, size_t len,
			  struct exchange_result *ret)
{
	struct kdf_exchange messages = { .init1 = { in, len } };
	struct init_message peer;
	uint16_t aead;
	int r;

	r = init_decode(INIT1, x->tep, in, len, &peer);
	if (r < 0)
		return r;
	aead = init_choose_cipher(&peer, x->aeads, x->n_aeads);
	if (!aead)
		return TCPCRYPT_E_NO_CIPHER;
	r = make_init(x, INIT2, &aead, 1);
	if (r < 0)
		return r;
	messages.init2 = (struct tcpcrypt_span){ x->init, x->init_len };
	messages.nonce_a = peer.nonce;
	ret->aead = aead;
	return agree(x, &peer, &messages, ret->prk);
}

static bool is_offered(const struct exchange *x, uint16_t aead)
{
	for (size_t i = 0; i < x->n_aeads; i++) {
		if (x->aeads[i] == aead)
			return true;
	}
	return false;
}

int exchange_accept_init2(struct exchange *x, const uint8_t *in, size_t len,
			  struct exchange_result *ret)
{
	struct kdf_exchange messages = {
		.init1 = { x->init, x->init_len },
		.init2 = { in, len },
		.nonce_a = x->nonce,
	};
	struct init_message peer;
	int r;

	r = init_decode(INIT2, x->tep, in, len, &peer);
	if (r < 0)
		return r;
	ret->aead = init_cipher(&peer, 0);
	/* 8548-3.3-8: host B may only choose among what Init1 listed. */
	if (!is_offered(x, ret->aead))
		return TCPCRYPT_E_BAD_CIPHER;
	return agree(x, &peer, &messages, ret->prk);
}
