/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames under a known key: first the input as a frame that will not authenticate, then its
 * bytes as the plaintext of one that does.
 */
#include "core/frame.h"
#include "fuzz/fuzz.h"

static const uint8_t key_bytes[TCPCRYPT_AEAD_KEY_MAX + TCPCRYPT_AEAD_NONCE_LEN] = { 1, 2, 3 };

static struct frame_key key(void)
{
	static struct frame_key k;

	if (!k.crypto) {
		k.crypto = tcpcrypt_crypto_openssl();
		k.randomizer = key_bytes + TCPCRYPT_AEAD_KEY_MAX;
		FUZZ_EXPECT(k.crypto->aead_new(TCPCRYPT_AEAD_AES_128_GCM, &k.aead) == 0);
		FUZZ_EXPECT(k.crypto->aead_set_key(k.aead, key_bytes) == 0);
	}
	return k;
}

static uint8_t *copy(const uint8_t *data, size_t len, size_t room)
{
	uint8_t *p = calloc(1, room + !room);

	FUZZ_EXPECT(p);
	memcpy(p, data, len);
	return p;
}

static void open_raw(const uint8_t *data, size_t len)
{
	struct frame_key k = key();
	struct frame_content content;
	size_t frame_len;
	uint8_t *frame;

	if (frame_measure(data, len, &frame_len) != 0 || frame_len > len)
		return;
	frame = copy(data, frame_len, frame_len);
	FUZZ_EXPECT(frame_open(&k, frame, frame_len, &content) == TCPCRYPT_E_AUTH);
	free(frame);
}

/* An authentic frame with any control byte and any plaintext. */
static void open_authentic(const uint8_t *data, size_t len)
{
	struct frame_key k = key();
	size_t plain_len = len - 1, clen = plain_len + TCPCRYPT_AEAD_TAG_LEN, header;
	uint8_t *frame = copy(data, 1, 3 + clen);
	struct frame_content content;
	int r;

	frame[1] = (uint8_t)(clen >> 8);
	frame[2] = (uint8_t)clen;
	memcpy(frame + 3, data + 1, plain_len);
	FUZZ_EXPECT(k.crypto->aead_seal(k.aead, k.randomizer, frame, 3, frame + 3, plain_len, NULL,
					frame + 3 + plain_len) == 0);
	r = frame_open(&k, frame, 3 + clen, &content);
	header = data[1] & WIRE_FLAG_URGP ? 3 : 1;
	FUZZ_EXPECT((r == 0) == (plain_len >= header));
	if (r == 0) {
		FUZZ_EXPECT(content.data_len == plain_len - header);
		FUZZ_EXPECT(memcmp(content.data, data + 1 + header, content.data_len) == 0);
		FUZZ_EXPECT(content.fin == (data[1] & WIRE_FLAG_FINP));
		FUZZ_EXPECT(content.rekey == (data[0] & WIRE_CONTROL_REKEY));
	}
	free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	open_raw(data, len);
	if (len >= 2 && len < 60000)
		open_authentic(data, len);
	return 0;
}
