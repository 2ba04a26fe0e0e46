/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/kdf.h"
#include "core/mem.h"
#include "core/rekey.h"

/* Derives and loads the traffic key of one master key; commits nothing but the randomizer. */
static int load_traffic_key(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto,
			    const uint8_t master[static WIRE_K_LEN])
{
	uint8_t key[WIRE_TRAFFIC_KEY_MAX];
	size_t key_len = d->limits->key_len;
	int r;

	r = kdf_traffic_key(crypto, master, d->label, key, key_len + TCPCRYPT_AEAD_NONCE_LEN);
	if (r == 0)
		r = crypto->aead_set_key(d->aead, key);
	if (r == 0)
		memcpy(d->randomizer, key + key_len, TCPCRYPT_AEAD_NONCE_LEN);
	mem_wipe(key, sizeof(key));
	return r;
}

int rekey_init(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto, uint16_t aead,
	       const uint8_t master[static WIRE_K_LEN], uint8_t label, uint64_t offset)
{
	int r;

	*d = (struct rekey_direction){
		.limits = aead_find(aead),
		.label = label,
		.offset = offset,
	};
	if (!d->limits)
		return TCPCRYPT_E_ARGUMENT;
	r = crypto->aead_new(aead, &d->aead);
	if (r < 0)
		return r;
	memcpy(d->master, master, WIRE_K_LEN);
	return load_traffic_key(d, crypto, master);
}

void rekey_deinit(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto)
{
	if (d->aead)
		crypto->aead_free(d->aead);
	d->aead = NULL;
	mem_wipe(d->master, sizeof(d->master));
	mem_wipe(d->randomizer, sizeof(d->randomizer));
}

/* 8548-3.8-8: the master key of the older generation ends here, its traffic key in set_key. */
static void commit_generation(struct rekey_direction *d, uint8_t master[static WIRE_K_LEN])
{
	memcpy(d->master, master, WIRE_K_LEN);
	d->generation++;
	d->key_bytes = 0;
	d->key_frames = 0;
}

/*
 * Loads the next generation's traffic key and gives its master key, which is the same in both
 * directions: where the other one is there already, no hash is needed.
 */
static int load_next(struct rekey_direction *d, const struct rekey_direction *other,
		     const struct tcpcrypt_crypto *crypto, uint8_t next[static WIRE_K_LEN])
{
	int r = 0;

	if (other->generation == d->generation + 1)
		memcpy(next, other->master, WIRE_K_LEN);
	else
		r = kdf_next_master(crypto, d->master, next);
	return r < 0 ? r : load_traffic_key(d, crypto, next);
}

int rekey_advance(struct rekey_direction *d, const struct rekey_direction *other,
		  const struct tcpcrypt_crypto *crypto)
{
	uint8_t next[WIRE_K_LEN];
	int r = load_next(d, other, crypto, next);

	if (r == 0)
		commit_generation(d, next);
	mem_wipe(next, sizeof(next));
	return r;
}

static struct frame_key frame_key_of(const struct rekey_direction *d,
				     const struct tcpcrypt_crypto *crypto)
{
	return (struct frame_key){ crypto, d->aead, d->randomizer, d->offset };
}

static void count_frame(struct rekey_direction *d, size_t len, size_t data_len)
{
	d->offset += len;
	d->app_bytes += data_len;
	d->key_bytes += len;
	d->key_frames++;
}

int rekey_open(struct rekey_direction *d, const struct rekey_direction *other,
	       const struct tcpcrypt_crypto *crypto, uint8_t *frame, size_t len,
	       struct frame_content *ret)
{
	uint8_t next[WIRE_K_LEN];
	bool rekey = frame_has_rekey(frame);
	struct frame_content content;
	struct frame_key key;
	int r = 0;

	/* The peer's offset would wrap: 8548-3.6-4 forbids it to come here. */
	if (d->offset > UINT64_MAX - len)
		return TCPCRYPT_E_LIMIT;
	if (rekey)
		r = load_next(d, other, crypto, next);
	if (r == 0) {
		key = frame_key_of(d, crypto);
		r = frame_open(&key, frame, len, &content);
	}
	if (r == 0) {
		if (rekey)
			commit_generation(d, next);
		count_frame(d, len, content.data_len);
		*ret = content;
	}
	mem_wipe(next, sizeof(next));
	return r;
}

int rekey_seal(struct rekey_direction *d, const struct tcpcrypt_crypto *crypto, uint8_t *frame,
	       const struct frame_content *content, size_t *ret_len)
{
	struct frame_key key = frame_key_of(d, crypto);
	int r;

	/* 8548-3.6-4: stop before the offset, and with it the nonce, starts over. */
	if (d->offset > UINT64_MAX - TCPCRYPT_FRAME_MAX || d->key_frames >= d->limits->max_frames)
		return TCPCRYPT_E_LIMIT;
	r = frame_seal(&key, frame, content, ret_len);
	if (r == 0)
		count_frame(d, *ret_len, content->data_len);
	return r;
}

bool rekey_due(const struct rekey_direction *d, uint64_t bytes)
{
	uint64_t limit = d->limits->rekey_bytes;

	if (bytes && bytes < limit)
		limit = bytes;
	return d->key_bytes >= limit || d->key_frames >= d->limits->rekey_frames;
}
