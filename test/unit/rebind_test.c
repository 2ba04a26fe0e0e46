/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session goes on where another process image has it: with a table of functions at another
 * address, and with contexts that have moved. What was before is made useless each time, so that
 * whatever still points there fails.
 */
#include "core/rebind.h"
#include "core/session_state.h"
#include "test/unit/pair_expect.h"

#define SLOTS 8

/* A process image: its table, and the places that stand for what the backend made. */
struct image {
	struct tcpcrypt_crypto table;
	void *places[SLOTS];
	size_t n;
};

static struct image *current;

static void *place_for(void *made)
{
	assert_true(current->n < SLOTS);
	current->places[current->n] = made;
	return &current->places[current->n++];
}

static void *made_of(const void *place)
{
	void *made = *(void *const *)place;

	assert_non_null(made);
	return made;
}

static const struct tcpcrypt_crypto *real(void)
{
	return tcpcrypt_crypto_openssl();
}

static int keypair_new(uint8_t tep, struct tcpcrypt_keypair **ret)
{
	struct tcpcrypt_keypair *pair;
	int r = real()->keypair_new(tep, &pair);

	if (!r)
		*ret = place_for(pair);
	return r;
}

static int public_key(const struct tcpcrypt_keypair *pair, uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX],
		      size_t *ret_len)
{
	return real()->public_key(made_of(pair), out, ret_len);
}

static int agree(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t peer_len,
		 uint8_t out[TCPCRYPT_SHARED_SECRET_MAX], size_t *ret_len)
{
	return real()->agree(made_of(pair), peer, peer_len, out, ret_len);
}

static void keypair_free(struct tcpcrypt_keypair *pair)
{
	if (pair)
		real()->keypair_free(made_of(pair));
}

static int aead_new(uint16_t aead, struct tcpcrypt_aead **ret)
{
	struct tcpcrypt_aead *ctx;
	int r = real()->aead_new(aead, &ctx);

	if (!r)
		*ret = place_for(ctx);
	return r;
}

static int aead_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key)
{
	return real()->aead_set_key(made_of(ctx), key);
}

static int aead_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		     const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		     const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	return real()->aead_seal(made_of(ctx), nonce, aad, aad_len, data, len, text, tag);
}

static int aead_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		     const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		     const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	return real()->aead_open(made_of(ctx), nonce, aad, aad_len, data, len, tag);
}

static void aead_free(struct tcpcrypt_aead *ctx)
{
	if (ctx)
		real()->aead_free(made_of(ctx));
}

static struct image *image_new(void)
{
	struct image *image = calloc(1, sizeof(*image));

	assert_non_null(image);
	image->table = *real();
	image->table.keypair_new = keypair_new;
	image->table.public_key = public_key;
	image->table.agree = agree;
	image->table.keypair_free = keypair_free;
	image->table.aead_new = aead_new;
	image->table.aead_set_key = aead_set_key;
	image->table.aead_seal = aead_seal;
	image->table.aead_open = aead_open;
	image->table.aead_free = aead_free;
	return image;
}

/* Another image takes the sessions; nothing of the old one works any more. */
static void replace(struct pair *pair)
{
	struct image *old = current;

	current = image_new();
	memcpy(current->places, old->places, sizeof(old->places));
	current->n = old->n;
	session_rebind(pair->a.session, &current->table,
		       (uintptr_t)current->places - (uintptr_t)old->places);
	session_rebind(pair->b.session, &current->table,
		       (uintptr_t)current->places - (uintptr_t)old->places);
	memset(old, 0, sizeof(*old));
	free(old);
}

static void test_whole_life(void **state)
{
	struct pair_params params = usual;
	struct pair pair;

	current = image_new();
	params.crypto = &current->table;
	assert_int_equal(pair_init(&pair, &params), 0);
	/* Before Init1, with A's key pair; before Init2; with the keys. */
	replace(&pair);
	pair_flush(&pair.a);
	replace(&pair);
	pair_deliver(&pair, &pair.a, ALL);
	replace(&pair);
	pair_run(&pair, ALL);
	replace(&pair);
	say(&pair.a, "from another image", 0);
	replace(&pair);
	pair_run(&pair, ALL);
	assert_int_equal(tcpcrypt_session_rekey(pair.b.session), 0);
	replace(&pair);
	pair_run(&pair, ALL);
	assert_int_equal(info_of(&pair.a).local_generation, 1);
	replace(&pair);
	say(&pair.b, "and the end", TCPCRYPT_TX_FIN);
	say(&pair.a, "with new keys", TCPCRYPT_TX_FIN);
	replace(&pair);
	pair_run(&pair, ALL);
	expect_delivered(&pair.a, &pair.b);
	expect_delivered(&pair.b, &pair.a);
	pair_deinit(&pair);
	free(current);
}

/* What holds nothing is not given anything. */
static void test_nothing(void **state)
{
	struct tcpcrypt_session s = { 0 };

	session_rebind(&s, real(), 64);
	assert_null(s.crypto);
	assert_null(s.tx.aead);
	assert_null(s.tx.limits);
	tcpcrypt_session_deinit(&s);
}

/* A session that failed has no contexts, and can be asked for its ID. */
static void test_failed(void **state)
{
	uint8_t forged[64] = { 0, 0, 61 };
	struct tcpcrypt_received rx;
	struct pair_params params = usual;
	struct pair pair;

	current = image_new();
	params.crypto = &current->table;
	start(&pair, &params);
	assert_int_equal(tcpcrypt_session_receive(pair.b.session, forged, sizeof(forged), &rx),
			 TCPCRYPT_E_AUTH);
	replace(&pair);
	assert_null(pair.b.session->tx.aead);
	assert_null(pair.b.session->rx.aead);
	assert_non_null(info_of(&pair.b).session_id);
	pair_deinit(&pair);
	free(current);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole_life),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_failed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
