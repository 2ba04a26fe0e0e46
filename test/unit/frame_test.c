/* SPDX-License-Identifier: BSD-2-Clause */
#include <openssl/evp.h>

#include "core/aead.h"
#include "core/frame.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

/* A whole traffic key of the vectors, ready for use. */
struct loaded_key {
	struct bytes traffic;
	struct frame_key key;
};

static struct loaded_key load(uint16_t aead, struct bytes traffic, uint64_t offset)
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	size_t key_len = aead_find(aead)->key_len;
	struct loaded_key k = {
		.traffic = traffic,
		.key = { .crypto = crypto, .randomizer = traffic.data + key_len, .offset = offset },
	};

	assert_int_equal(traffic.len, key_len + TCPCRYPT_AEAD_NONCE_LEN);
	assert_int_equal(crypto->aead_new(aead, &k.key.aead), 0);
	assert_int_equal(crypto->aead_set_key(k.key.aead, traffic.data), 0);
	return k;
}

static void unload(struct loaded_key *k)
{
	k->key.crypto->aead_free(k->key.aead);
	free(k->traffic.data);
}

/* Is the sealed frame the one of the vectors? The largest are given by their digest. */
static void expect_frame(const json_t *c, const uint8_t *frame, size_t len)
{
	uint8_t digest[32];

	if (json_object_get(c, "frame")) {
		vectors_expect(c, "frame", frame, len);
		return;
	}
	assert_int_equal(len, vectors_integer(c, "frame_len"));
	assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, frame, len, digest, NULL), 1);
	vectors_expect(c, "frame_sha256", digest, sizeof(digest));
}

/* 8548-3.6-2, 8548-3.6-3, 8548-4.2-1, 8548-4.2.1-1: sealed byte for byte, then opened again. */
static void run_frame(uint16_t aead, const json_t *keys, const json_t *c)
{
	uint64_t generation = vectors_integer(c, "generation");
	const char *traffic = json_string_value(json_array_get(keys, generation));
	struct loaded_key k = load(aead, vectors_hex(traffic), vectors_integer(c, "offset"));
	struct bytes data = vectors_data(c);
	bool urgent = json_is_integer(vectors_member(c, "urgent"));
	uint8_t *frame = malloc(TCPCRYPT_FRAME_MAX);
	struct frame_content content = {
		.rekey = vectors_integer(c, "control") & WIRE_CONTROL_REKEY,
		.fin = vectors_integer(c, "flags") & WIRE_FLAG_FINP,
		.has_urgent = urgent,
		.urgent = urgent ? (uint16_t)vectors_integer(c, "urgent") : 0,
		.data_len = data.len,
	};
	struct frame_content opened;
	size_t len, measured;

	memcpy(frame + (urgent ? 6 : 4), data.data, data.len);
	assert_int_equal(frame_seal(&k.key, frame, &content, &len), 0);
	expect_frame(c, frame, len);
	memset(frame, 0, TCPCRYPT_FRAME_MAX);
	content.from = data.data;
	assert_int_equal(frame_seal(&k.key, frame, &content, &len), 0);
	expect_frame(c, frame, len);
	assert_int_equal(frame_measure(frame, len, &measured), 0);
	assert_int_equal(measured, len);
	assert_int_equal(frame_open(&k.key, frame, len, &opened), 0);
	assert_int_equal(opened.rekey, content.rekey);
	assert_int_equal(opened.fin, content.fin);
	assert_int_equal(opened.has_urgent, content.has_urgent);
	assert_int_equal(opened.urgent, content.urgent);
	assert_int_equal(opened.data_len, data.len);
	assert_memory_equal(opened.data, data.data, data.len);
	free(frame);
	free(data.data);
	unload(&k);
}

static void run_frames(const json_t *c, const char *frames, const char *keys)
{
	uint16_t aead = (uint16_t)vectors_integer(c, "aead");
	const json_t *frame;
	size_t i;

	assert_true(json_array_size(vectors_member(c, frames)) > 0);
	json_array_foreach(vectors_member(c, frames), i, frame)
		run_frame(aead, vectors_member(c, keys), frame);
}

static void run_fresh(const json_t *c)
{
	run_frames(c, "frames_ab", "k_ab");
	run_frames(c, "frames_ba", "k_ba");
}

static void run_resumed(const json_t *c)
{
	run_frames(c, "frames_k_ab", "k_ab");
	run_frames(c, "frames_k_ba", "k_ba");
}

static void test_fresh(void **state)
{
	vectors_run("handshake.json", "sessions", run_fresh);
}

static void test_resumed(void **state)
{
	vectors_run("resumption.json", "sessions", run_resumed);
}

static int error_of(const json_t *c, const struct bytes *frame)
{
	/* D16: refused for its length before anything is decrypted. */
	if (frame->len < WIRE_FRAME_EMPTY_LEN)
		return TCPCRYPT_E_BAD_FRAME;
	return strcmp(vectors_text(c, "error"), "auth-fail") == 0 ? TCPCRYPT_E_AUTH
								  : TCPCRYPT_E_BAD_FRAME;
}

static void expect_wiped(const uint8_t *frame, size_t len)
{
	for (size_t i = WIRE_FRAME_HEADER_LEN; i + TCPCRYPT_AEAD_TAG_LEN < len; i++)
		assert_int_equal(frame[i], 0);
}

/* 8548-3.6-5, 8548-4.2-1, 8548-4.2.1-1 */
static void run_bad(const json_t *c)
{
	struct loaded_key k = load((uint16_t)vectors_integer(c, "aead"), vectors_bytes(c, "key"),
				   strtoull(vectors_text(c, "offset_hex"), NULL, 16));
	struct bytes frame = vectors_bytes(c, "frame");
	struct frame_content content;
	size_t len = 0;
	int r;

	r = frame_measure(frame.data, frame.len, &len);
	if (r == 0) {
		assert_int_equal(len, frame.len);
		r = frame_open(&k.key, frame.data, frame.len, &content);
	}
	if (strcmp(vectors_text(c, "reaction"), "accept") == 0) {
		assert_int_equal(r, 0);
		assert_int_equal(content.fin, vectors_integer(c, "flags") & WIRE_FLAG_FINP);
		assert_int_equal(content.has_urgent, json_is_integer(vectors_member(c, "urgent")));
		if (content.has_urgent)
			assert_int_equal(content.urgent, vectors_integer(c, "urgent"));
		vectors_expect(c, "data", content.data, content.data_len);
	} else {
		assert_int_equal(r, error_of(c, &frame));
		if (frame.len >= WIRE_FRAME_EMPTY_LEN)
			expect_wiped(frame.data, frame.len);
	}
	free(frame.data);
	unload(&k);
}

static void test_bad(void **state)
{
	vectors_run("frames_bad.json", "frames", run_bad);
}

static void test_measure(void **state)
{
	static const uint8_t smallest[] = { 0, 0, 17 }, largest[] = { 0, 255, 255 };
	size_t len;

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(frame_measure(smallest, i, &len), TCPCRYPT_AGAIN);
		assert_int_equal(len, 3);
	}
	assert_int_equal(frame_measure(smallest, 3, &len), 0);
	assert_int_equal(len, 20);
	assert_int_equal(frame_measure(largest, 3, &len), 0);
	assert_int_equal(len, TCPCRYPT_FRAME_MAX);
	for (uint8_t clen = 0; clen < 17; clen++)
		assert_int_equal(frame_measure((uint8_t[]){ 0, 0, clen }, 3, &len),
				 TCPCRYPT_E_BAD_FRAME);
}

/* 8548-3.6-2 */
static void test_too_much_data(void **state)
{
	struct loaded_key k = load(TCPCRYPT_AEAD_AES_128_GCM,
				   vectors_hex("00000000000000000000000000000000"
					       "000000000000000000000000"),
				   0);
	struct frame_content content = { .data_len = frame_data_max(false) + 1 };
	uint8_t *frame = malloc(TCPCRYPT_FRAME_MAX);
	size_t len = 0;

	assert_int_equal(frame_data_max(true), TCPCRYPT_FRAME_DATA_MAX);
	assert_int_equal(frame_seal(&k.key, frame, &content, &len), TCPCRYPT_E_ARGUMENT);
	content.data_len--;
	memset(frame, 0, TCPCRYPT_FRAME_MAX);
	assert_int_equal(frame_seal(&k.key, frame, &content, &len), 0);
	assert_int_equal(len, TCPCRYPT_FRAME_MAX);
	content.has_urgent = true;
	assert_int_equal(frame_seal(&k.key, frame, &content, &len), TCPCRYPT_E_ARGUMENT);
	free(frame);
	unload(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh),	      cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_bad),	      cmocka_unit_test(test_measure),
		cmocka_unit_test(test_too_much_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
