/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rekey.h"
#include "test/unit/unit.h"

static const struct tcpcrypt_crypto *crypto(void)
{
	return tcpcrypt_crypto_openssl();
}

struct ends {
	struct rekey_direction tx, rx;
	uint8_t frame[64];
	size_t len;
};

static struct ends ends_at(uint64_t offset)
{
	static const uint8_t master[WIRE_K_LEN] = { 42 };
	struct ends e = { 0 };

	assert_int_equal(rekey_init(&e.tx, crypto(), TCPCRYPT_AEAD_AES_128_GCM, master,
				    WIRE_CONST_KEY_A, offset),
			 0);
	assert_int_equal(rekey_init(&e.rx, crypto(), TCPCRYPT_AEAD_AES_128_GCM, master,
				    WIRE_CONST_KEY_A, offset),
			 0);
	return e;
}

static void ends_deinit(struct ends *e)
{
	static const uint8_t zeros[WIRE_K_LEN];

	rekey_deinit(&e->tx, crypto());
	rekey_deinit(&e->rx, crypto());
	assert_memory_equal(e->tx.master, zeros, sizeof(zeros));
	assert_null(e->tx.aead);
}

static int seal(struct ends *e, bool rekey)
{
	struct frame_content content = { .rekey = rekey };

	return rekey_seal(&e->tx, crypto(), e->frame, &content, &e->len);
}

static int open_frame(struct ends *e)
{
	struct frame_content content;

	return rekey_open(&e->rx, &e->rx, crypto(), e->frame, e->len, &content);
}

/* 8548-3.6-4: the nonce never comes round, on either side. */
static void test_offset_limit(void **state)
{
	struct ends e = ends_at(UINT64_MAX - TCPCRYPT_FRAME_MAX);

	assert_int_equal(seal(&e, false), 0);
	assert_int_equal(open_frame(&e), 0);
	assert_int_equal(seal(&e, false), TCPCRYPT_E_LIMIT);
	e.rx.offset = UINT64_MAX - 10;
	assert_int_equal(open_frame(&e), TCPCRYPT_E_LIMIT);
	ends_deinit(&e);
}

static void test_frame_limit(void **state)
{
	struct ends e = ends_at(0);

	e.tx.key_frames = e.tx.limits->max_frames - 1;
	assert_int_equal(seal(&e, false), 0);
	assert_int_equal(seal(&e, false), TCPCRYPT_E_LIMIT);
	assert_int_equal(rekey_advance(&e.tx, &e.rx, crypto()), 0);
	assert_int_equal(seal(&e, true), 0);
	ends_deinit(&e);
}

static void test_due(void **state)
{
	struct ends e = ends_at(0);

	assert_false(rekey_due(&e.tx, 0));
	assert_int_equal(seal(&e, false), 0);
	assert_true(rekey_due(&e.tx, e.len));
	assert_false(rekey_due(&e.tx, e.len + 1));
	assert_false(rekey_due(&e.tx, 0));
	e.tx.key_bytes = e.tx.limits->rekey_bytes;
	assert_true(rekey_due(&e.tx, 0));
	assert_true(rekey_due(&e.tx, UINT64_MAX)); /* a session may ask for less, not for more */
	e.tx.key_bytes = 0;
	e.tx.key_frames = e.tx.limits->rekey_frames;
	assert_true(rekey_due(&e.tx, 0));
	ends_deinit(&e);
}

/* 8548-3.8-8, D22: the number moves with an authentic frame only, and the old key is gone. */
static void test_generations(void **state)
{
	struct ends e = ends_at(0);
	uint8_t old[WIRE_K_LEN];

	memcpy(old, e.tx.master, sizeof(old));
	assert_int_equal(rekey_advance(&e.tx, &e.rx, crypto()), 0);
	assert_int_equal(e.tx.generation, 1);
	assert_memory_not_equal(e.tx.master, old, sizeof(old));
	assert_int_equal(seal(&e, true), 0);
	assert_int_equal(open_frame(&e), 0);
	assert_int_equal(e.rx.generation, 1);
	assert_memory_equal(e.rx.master, e.tx.master, sizeof(old));
	assert_int_equal(seal(&e, false), 0);
	e.frame[0] |= WIRE_CONTROL_REKEY; /* forged */
	assert_int_equal(open_frame(&e), TCPCRYPT_E_AUTH);
	assert_int_equal(e.rx.generation, 1);
	ends_deinit(&e);
}

/* A direction that follows the other takes the master key from there, and it is the same one. */
static void test_follows(void **state)
{
	struct ends e = ends_at(0), behind = ends_at(0);

	for (int i = 1; i <= 3; i++) {
		assert_int_equal(rekey_advance(&e.tx, &e.tx, crypto()), 0);
		assert_int_equal(rekey_advance(&behind.tx, &e.tx, crypto()), 0);
		assert_int_equal(behind.tx.generation, i);
		assert_memory_equal(behind.tx.master, e.tx.master, WIRE_K_LEN);
		assert_int_equal(seal(&behind, true), 0);
		assert_int_equal(open_frame(&behind), 0);
	}
	/* Two generations ahead it is of no use. */
	assert_int_equal(rekey_advance(&e.tx, &e.tx, crypto()), 0);
	assert_int_equal(rekey_advance(&e.tx, &e.tx, crypto()), 0);
	assert_int_equal(rekey_advance(&behind.tx, &e.tx, crypto()), 0);
	assert_int_equal(seal(&behind, true), 0);
	assert_int_equal(open_frame(&behind), 0);
	ends_deinit(&behind);
	ends_deinit(&e);
}

static void test_unknown_aead(void **state)
{
	static const uint8_t master[WIRE_K_LEN];
	struct rekey_direction d;

	assert_int_equal(rekey_init(&d, crypto(), 99, master, WIRE_CONST_KEY_A, 0),
			 TCPCRYPT_E_ARGUMENT);
	rekey_deinit(&d, crypto());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offset_limit), cmocka_unit_test(test_frame_limit),
		cmocka_unit_test(test_due),	     cmocka_unit_test(test_generations),
		cmocka_unit_test(test_follows),	     cmocka_unit_test(test_unknown_aead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
