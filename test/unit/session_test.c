/* SPDX-License-Identifier: BSD-2-Clause */
/* The vectors through whole sessions: what one end writes and what it makes of the other. */
#include <openssl/evp.h>

#include "core/aead.h"
#include "core/session_state.h"
#include "crypto/openssl.h"
#include "test/unit/frozen.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

/* One end of a vector's session, and how the vector names things from its side. */
struct side {
	struct tcpcrypt_session *s;
	struct bytes nonce;
	const json_t *vector;
	const char *tx_frames, *rx_frames, *rx_keys;
	bool initiates_rekey;
};

static unsigned int n_sides;

static void feed(struct side *side, const uint8_t *data, size_t len, struct tcpcrypt_received *rx)
{
	uint8_t *exact = malloc(len);

	memcpy(exact, data, len);
	assert_int_equal(tcpcrypt_session_receive(side->s, exact, len, rx), 0);
	assert_int_equal(rx->consumed, len);
	/* rx->data points into the copy; tests that look at data use the frame themselves. */
	free(exact);
}

/* The complete frame of the vectors, sealed here because they give the largest by digest. */
static uint8_t *vector_frame(const struct side *side, const json_t *c, size_t *ret_len)
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	uint16_t aead = (uint16_t)vectors_integer(side->vector, "aead");
	const json_t *keys = vectors_member(side->vector, side->rx_keys);
	struct bytes traffic = vectors_hex(
		json_string_value(json_array_get(keys, vectors_integer(c, "generation"))));
	struct bytes data = vectors_data(c);
	bool urgent = json_is_integer(vectors_member(c, "urgent"));
	struct frame_key key = { crypto, NULL, traffic.data + aead_find(aead)->key_len,
				 vectors_integer(c, "offset") };
	struct frame_content content = {
		.rekey = vectors_integer(c, "control") & WIRE_CONTROL_REKEY,
		.fin = vectors_integer(c, "flags") & WIRE_FLAG_FINP,
		.has_urgent = urgent,
		.urgent = urgent ? (uint16_t)vectors_integer(c, "urgent") : 0,
		.data_len = data.len,
	};
	uint8_t *frame = malloc(TCPCRYPT_FRAME_MAX);

	assert_int_equal(crypto->aead_new(aead, &key.aead), 0);
	assert_int_equal(crypto->aead_set_key(key.aead, traffic.data), 0);
	memcpy(frame + (urgent ? 6 : 4), data.data, data.len);
	assert_int_equal(frame_seal(&key, frame, &content, ret_len), 0);
	crypto->aead_free(key.aead);
	free(traffic.data);
	free(data.data);
	return frame;
}

/* 8548-3.7-1, 8548-3.7-2, 8548-3.8-2, 8548-3.8-3 on the receiving end. */
static void receive_frame(struct side *side, const json_t *c)
{
	struct bytes data = vectors_data(c);
	struct tcpcrypt_received rx;
	size_t len;
	uint8_t *frame = vector_frame(side, c, &len);
	unsigned int flags = (unsigned int)vectors_integer(c, "flags");

	assert_int_equal(tcpcrypt_session_receive(side->s, frame, len, &rx), 0);
	assert_int_equal(rx.consumed, len);
	assert_int_equal(rx.data_len, data.len);
	assert_int_equal(!!(rx.events & TCPCRYPT_RX_DATA), data.len > 0);
	if (data.len)
		assert_memory_equal(rx.data, data.data, data.len);
	assert_int_equal(!!(rx.events & TCPCRYPT_RX_EOF), flags & WIRE_FLAG_FINP);
	assert_int_equal(!!(rx.events & TCPCRYPT_RX_REKEYED), vectors_integer(c, "control"));
	assert_int_equal(!!(rx.events & TCPCRYPT_RX_URGENT), !!(flags & WIRE_FLAG_URGP));
	if (rx.events & TCPCRYPT_RX_URGENT)
		assert_int_equal(rx.urgent_index, vectors_integer(c, "urgent_app_index"));
	free(frame);
	free(data.data);
}

static void expect_frame(const json_t *c, const uint8_t *frame, size_t len)
{
	uint8_t digest[32];

	if (json_object_get(c, "frame")) {
		vectors_expect(c, "frame", frame, len);
		return;
	}
	assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, frame, len, digest, NULL), 1);
	vectors_expect(c, "frame_sha256", digest, sizeof(digest));
}

static void send_frame(struct side *side, const json_t *c)
{
	struct bytes data = vectors_data(c);
	uint8_t *frame = malloc(TCPCRYPT_FRAME_MAX);
	uint64_t wire_flags = vectors_integer(c, "flags");
	bool urgent = wire_flags & WIRE_FLAG_URGP, rekey = vectors_integer(c, "control");
	unsigned int flags = (wire_flags & WIRE_FLAG_FINP ? TCPCRYPT_TX_FIN : 0) |
			     (urgent ? TCPCRYPT_TX_URGENT : 0);
	size_t len;

	if (rekey && side->initiates_rekey)
		assert_int_equal(tcpcrypt_session_rekey(side->s), 0);
	assert_int_equal(tcpcrypt_session_has_output(side->s), rekey);
	if (rekey && data.len == 0) {
		assert_int_equal(tcpcrypt_session_output(side->s, frame, &len), 0);
	} else {
		memcpy(frame + (urgent ? 6 : 4), data.data, data.len);
		assert_int_equal(tcpcrypt_session_send(
					 side->s, frame, data.len, flags,
					 urgent ? (uint16_t)vectors_integer(c, "urgent") : 0, &len),
				 0);
	}
	expect_frame(c, frame, len);
	free(frame);
	free(data.data);
}

typedef void frame_fn(struct side *side, const json_t *c);

static void for_generation(struct side *side, const char *frames, uint64_t generation,
			   frame_fn *run)
{
	const json_t *frame;
	size_t i;

	json_array_foreach(vectors_member(side->vector, frames), i, frame)
	{
		if (vectors_integer(frame, "generation") == generation)
			run(side, frame);
	}
}

/* Who initiates rekeying sends first in each generation; the other end answers. */
static void replay_frames(struct side *side)
{
	struct tcpcrypt_session_info info;

	for (uint64_t generation = 0; generation < 3; generation++) {
		if (side->initiates_rekey)
			for_generation(side, side->tx_frames, generation, send_frame);
		for_generation(side, side->rx_frames, generation, receive_frame);
		if (!side->initiates_rekey)
			for_generation(side, side->tx_frames, generation, send_frame);
	}
	assert_int_equal(tcpcrypt_session_receive_fin(side->s, 0), 0);
	assert_false(tcpcrypt_session_can_send(side->s));
	tcpcrypt_session_info(side->s, &info);
	assert_int_equal(info.local_generation, 2);
	assert_int_equal(info.remote_generation, 2);
	tcpcrypt_session_free(side->s);
	free(side->nonce.data);
	n_sides++;
}

static void expect_info(const struct side *side, enum tcpcrypt_role role, bool resumed)
{
	struct tcpcrypt_session_info info;

	tcpcrypt_session_info(side->s, &info);
	assert_true(info.established);
	assert_int_equal(info.resumed, resumed);
	assert_int_equal(info.role, role);
	assert_int_equal(info.tep, vectors_integer(side->vector, "tep"));
	assert_int_equal(info.aead, vectors_integer(side->vector, "aead"));
	vectors_expect(side->vector, "session_id", info.session_id, TCPCRYPT_SESSION_ID_LEN);
}

/* ss[1] and resume[1]; 8548-3.5-17. */
static void expect_next(const struct side *side, const char *secret_hex, const char *id_hex,
			enum tcpcrypt_role original_role)
{
	struct bytes secret = vectors_hex(secret_hex), id = vectors_hex(id_hex);
	struct tcpcrypt_next_secret next;

	assert_int_equal(tcpcrypt_session_next_secret(side->s, &next), 0);
	assert_memory_equal(next.secret, secret.data, sizeof(next.secret));
	assert_memory_equal(next.identifier, id.data, sizeof(next.identifier));
	assert_int_equal(next.original_role, original_role);
	assert_int_equal(next.aead, vectors_integer(side->vector, "aead"));
	assert_int_equal(next.tep, vectors_integer(side->vector, "tep"));
	assert_int_equal(tcpcrypt_session_next_secret(side->s, &next), TCPCRYPT_E_STATE);
	free(secret.data);
	free(id.data);
}

static struct side fresh_side(const json_t *c, enum tcpcrypt_role role, const uint16_t *aeads,
			      size_t n_aeads)
{
	const json_t *host = vectors_member(c, role == TCPCRYPT_ROLE_A ? "a" : "b");
	struct bytes key = vectors_bytes(host, "private");
	struct bytes transcript = vectors_bytes(c, "transcript");
	bool is_a = role == TCPCRYPT_ROLE_A;
	struct side side = {
		.nonce = vectors_bytes(host, "nonce"),
		.vector = c,
		.tx_frames = is_a ? "frames_ab" : "frames_ba",
		.rx_frames = is_a ? "frames_ba" : "frames_ab",
		.rx_keys = is_a ? "k_ba" : "k_ab",
		.initiates_rekey = is_a,
	};
	struct tcpcrypt_session_params p = {
		.size = sizeof(p),
		.crypto = frozen_crypto(side.nonce.data, side.nonce.len),
		.role = role,
		.tep_byte = (uint8_t)vectors_integer(c, "tep_byte"),
		.transcript = transcript.data,
		.transcript_len = transcript.len,
		.aeads = aeads,
		.n_aeads = n_aeads,
	};
	int error;

	assert_int_equal(openssl_keypair_from_private((uint8_t)vectors_integer(c, "tep"), key.data,
						      key.len, &p.keypair),
			 0);
	side.s = tcpcrypt_session_new(&p, &error);
	assert_non_null(side.s);
	free(key.data);
	free(transcript.data);
	return side;
}

/* Host A's offer, or 0 when it has AEADs that this implementation would never list. */
static size_t offer_of(const json_t *c, uint16_t aeads[TCPCRYPT_AEADS_MAX])
{
	const json_t *list = vectors_member(vectors_member(c, "a"), "ciphers"), *cipher;
	size_t i;

	if (json_array_size(list) > TCPCRYPT_AEADS_MAX)
		return 0;
	json_array_foreach(list, i, cipher)
	{
		aeads[i] = (uint16_t)json_integer_value(cipher);
		if (!aead_find(aeads[i]))
			return 0;
	}
	return i;
}

static void run_as_a(const json_t *c)
{
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	uint16_t aeads[TCPCRYPT_AEADS_MAX];
	size_t n_aeads = offer_of(c, aeads), len;
	struct bytes init1 = vectors_bytes(c, "init1"), init2 = vectors_bytes(c, "init2");
	struct tcpcrypt_received rx;
	struct side side;

	if (n_aeads == 0)
		goto out;
	side = fresh_side(c, TCPCRYPT_ROLE_A, aeads, n_aeads);
	assert_true(tcpcrypt_session_has_output(side.s));
	assert_int_equal(tcpcrypt_session_output(side.s, out, &len), 0);
	/* A peer's odd Init1 (ignored bytes, unused bits of a key) is nothing we would send. */
	if (len != init1.len || memcmp(out, init1.data, len) != 0) {
		assert_non_null(strstr(vectors_text(c, "id"), "variant-"));
		tcpcrypt_session_free(side.s);
		free(side.nonce.data);
		goto out;
	}
	feed(&side, init2.data, init2.len, &rx);
	assert_int_equal(rx.events, TCPCRYPT_RX_ESTABLISHED);
	expect_info(&side, TCPCRYPT_ROLE_A, false);
	replay_frames(&side);
out:
	free(init1.data);
	free(init2.data);
}

static void run_as_b(const json_t *c)
{
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	uint16_t aead = (uint16_t)vectors_integer(c, "aead");
	struct bytes init1 = vectors_bytes(c, "init1"), init2 = vectors_bytes(c, "init2");
	struct side side = fresh_side(c, TCPCRYPT_ROLE_B, &aead, 1);
	struct tcpcrypt_received rx;
	size_t len;

	assert_false(tcpcrypt_session_has_output(side.s));
	feed(&side, init1.data, init1.len, &rx);
	assert_int_equal(tcpcrypt_session_output(side.s, out, &len), 0);
	if (len != init2.len) {
		/* 8548-4.1-3 */
		assert_non_null(strstr(vectors_text(c, "id"), "variant-ignored"));
		tcpcrypt_session_free(side.s);
		free(side.nonce.data);
	} else {
		assert_memory_equal(out, init2.data, len);
		expect_info(&side, TCPCRYPT_ROLE_B, false);
		expect_next(&side, json_string_value(json_array_get(vectors_member(c, "ss"), 1)),
			    vectors_text(vectors_member(c, "resume"), "1"), TCPCRYPT_ROLE_B);
		replay_frames(&side);
	}
	free(init1.data);
	free(init2.data);
}

/* 8548-4.1-1, 8548-4.1-3, 8548-3.6-3: 12 regular sessions and what fits of 6 odd. */
static void test_fresh(void **state)
{
	n_sides = 0;
	vectors_run("handshake.json", "sessions", run_as_a);
	assert_int_equal(n_sides, 13);
	n_sides = 0;
	vectors_run("handshake.json", "sessions", run_as_b);
	assert_int_equal(n_sides, 16);
}

static enum tcpcrypt_role role_of(const json_t *c, const char *key)
{
	return vectors_text(c, key)[0] == 'A' ? TCPCRYPT_ROLE_A : TCPCRYPT_ROLE_B;
}

/* 8548-3.5-24, 8548-3.5-25: keys go by the original role, the session ID by the current. */
static void run_resumed_side(const json_t *c, enum tcpcrypt_role original)
{
	bool was_a = original == TCPCRYPT_ROLE_A;
	struct bytes ss = vectors_bytes(c, "ss"), sn = vectors_bytes(c, "sn");
	struct tcpcrypt_resumption resume = {
		.original_role = original,
		.aead = (uint16_t)vectors_integer(c, "aead"),
		.nonces_len = sn.len,
	};
	struct tcpcrypt_session_params p = {
		.size = sizeof(p),
		.crypto = tcpcrypt_crypto_openssl(),
		.role = role_of(c, was_a ? "current_role_of_original_A"
					 : "current_role_of_original_B"),
		.tep_byte = (uint8_t)vectors_integer(c, "tep_byte"),
		.resume = &resume,
	};
	struct side side = {
		.vector = c,
		.tx_frames = was_a ? "frames_k_ab" : "frames_k_ba",
		.rx_frames = was_a ? "frames_k_ba" : "frames_k_ab",
		.rx_keys = was_a ? "k_ba" : "k_ab",
		.initiates_rekey = was_a,
	};
	int error;

	memcpy(resume.secret, ss.data, ss.len);
	memcpy(resume.nonces, sn.data, sn.len);
	side.s = tcpcrypt_session_new(&p, &error);
	assert_non_null(side.s);
	/* 8548-3.2-4: no message comes before the first frame. */
	assert_false(tcpcrypt_session_has_output(side.s));
	assert_true(tcpcrypt_session_can_send(side.s));
	expect_info(&side, p.role, true);
	expect_next(&side, vectors_text(c, "next_ss"), vectors_text(c, "next_resume"), original);
	replay_frames(&side);
	free(ss.data);
	free(sn.data);
}

static void run_resumed(const json_t *c)
{
	run_resumed_side(c, TCPCRYPT_ROLE_A);
	run_resumed_side(c, TCPCRYPT_ROLE_B);
}

static void test_resumed(void **state)
{
	n_sides = 0;
	vectors_run("resumption.json", "sessions", run_resumed);
	assert_int_equal(n_sides, 2 * 18);
}

/* What a stream brought, in the form of expected_events. */
struct log {
	json_t *events;
	json_t *sent; /* frames of the receiver */
	const char *id;
};

static void log_integer(struct log *log, const char *event, uint64_t value)
{
	json_array_append_new(log->events, json_pack("[sI]", event, (json_int_t)value));
}

static char *to_hex(const uint8_t *data, size_t len)
{
	char *hex = malloc(2 * len + 1);

	for (size_t i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", data[i]);
	hex[2 * len] = 0;
	return hex;
}

static void log_data(struct log *log, const uint8_t *data, size_t len)
{
	json_t *last = json_array_get(log->events, json_array_size(log->events) - 1);
	char *hex = to_hex(data, len), merged[4096];

	if (last && strcmp(json_string_value(json_array_get(last, 0)), "data") == 0) {
		snprintf(merged, sizeof(merged), "%s%s", json_string_value(json_array_get(last, 1)),
			 hex);
		json_array_set_new(last, 1, json_string(merged));
	} else {
		json_array_append_new(log->events, json_pack("[ss]", "data", hex));
	}
	free(hex);
}

static void log_abort(struct log *log, int error)
{
	const char *name = "?";

	if (error == TCPCRYPT_E_TRUNCATED)
		name = "fin-without-finp";
	else if (error == TCPCRYPT_E_AFTER_FIN)
		name = "data-after-finp";
	else if (error == TCPCRYPT_E_AUTH)
		name = "auth-fail";
	else if (error == TCPCRYPT_E_BAD_FRAME) /* D16: too short to authenticate */
		name = strncmp(log->id, "clen-", 5) == 0 ? "auth-fail" : "bad-plaintext";
	json_array_append_new(log->events, json_pack("[ss]", "abort", name));
}

/* 8548-3.8-5: the answer to a rekey is due at once. */
static void log_answer(struct log *log, struct tcpcrypt_session *s)
{
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	struct tcpcrypt_session_info info;
	size_t len;
	char *hex;

	if (!tcpcrypt_session_has_output(s))
		return;
	assert_int_equal(tcpcrypt_session_output(s, out, &len), 0);
	tcpcrypt_session_info(s, &info);
	log_integer(log, "rekey-reply", info.local_generation);
	hex = to_hex(out, len);
	json_array_append_new(log->sent, json_string(hex));
	free(hex);
}

static void log_received(struct log *log, struct tcpcrypt_session *s,
			 const struct tcpcrypt_received *rx)
{
	struct tcpcrypt_session_info info;

	if (rx->events & TCPCRYPT_RX_URGENT)
		log_integer(log, "urgent", rx->urgent_index);
	if (rx->events & TCPCRYPT_RX_DATA)
		log_data(log, rx->data, rx->data_len);
	if (rx->events & TCPCRYPT_RX_REKEYED) {
		tcpcrypt_session_info(s, &info);
		log_integer(log, "rekey", info.remote_generation);
	}
	log_answer(log, s);
	if (rx->events & TCPCRYPT_RX_EOF)
		json_array_append_new(log->events, json_pack("[s]", "eof"));
}

/* The receiver of frames_bad.json: the original B, resumed with an empty sn. */
static struct tcpcrypt_session *stream_receiver(const json_t *c)
{
	static const char label[] = "frames-bad ss";
	struct tcpcrypt_resumption resume = {
		.original_role = TCPCRYPT_ROLE_B,
		.aead = (uint16_t)vectors_integer(c, "aead"),
	};
	struct tcpcrypt_session_params p = {
		.size = sizeof(p),
		.crypto = tcpcrypt_crypto_openssl(),
		.role = TCPCRYPT_ROLE_B,
		.tep_byte = TCPCRYPT_TEP_X25519 | 0x80,
		.resume = &resume,
	};
	uint8_t frame[TCPCRYPT_FRAME_HEADROOM + TCPCRYPT_FRAME_TAILROOM];
	struct tcpcrypt_session *s;
	size_t len;
	int error;

	assert_int_equal(
		EVP_Q_digest(NULL, "SHA256", NULL, label, strlen(label), resume.secret, NULL), 1);
	s = tcpcrypt_session_new(&p, &error);
	assert_non_null(s);
	s->rx.offset = vectors_integer(c, "start_offset");
	if (vectors_bool(c, "receiver_already_sent_fin"))
		assert_int_equal(tcpcrypt_session_send(s, frame, 0, TCPCRYPT_TX_FIN, 0, &len), 0);
	return s;
}

/* Presents the wire step bytes at a time; gives what is left over, or the error. */
static int play(struct log *log, struct tcpcrypt_session *s, struct bytes wire, size_t step,
		size_t *ret_left)
{
	struct tcpcrypt_received rx;
	size_t start = 0, end = 0;
	int r;

	while (end < wire.len) {
		end = wire.len - end < step ? wire.len : end + step;
		do {
			r = tcpcrypt_session_receive(s, wire.data + start, end - start, &rx);
			if (r < 0)
				return r;
			if (r == 0) {
				log_received(log, s, &rx);
				start += rx.consumed;
			}
		} while (r == 0 && start < end);
	}
	*ret_left = wire.len - start;
	return 0;
}

/*
 * 8548-3.6-5, 8548-3.7-2, 8548-3.7-3, 8548-3.8-2, 8548-3.8-4, 8548-3.8-5, 8548-3.8-8,
 * 8548-3.9-3, 8547-5-10, 8547-5-12
 */
static void run_stream_pieces(const json_t *c, size_t step)
{
	struct log log = { json_array(), json_array(), vectors_text(c, "id") };
	const json_t *sends = json_object_get(c, "receiver_sends");
	struct tcpcrypt_session *s = stream_receiver(c);
	struct bytes wire = vectors_bytes(c, "wire");
	size_t left = 0;
	int r;

	r = play(&log, s, wire, step, &left);
	if (r == 0 && vectors_bool(c, "then_fin"))
		r = tcpcrypt_session_receive_fin(s, left);
	else if (r == 0 && left)
		log_integer(&log, "incomplete", left);
	if (r < 0)
		log_abort(&log, r);
	if (!json_equal(log.events, vectors_member(c, "expected_events")))
		fail_msg("%s: %s", log.id, json_dumps(log.events, 0));
	if (sends)
		assert_true(json_equal(log.sent, sends));
	else
		assert_int_equal(json_array_size(log.sent), 0);
	json_decref(log.events);
	json_decref(log.sent);
	tcpcrypt_session_free(s);
	free(wire.data);
}

static void run_stream_whole(const json_t *c)
{
	run_stream_pieces(c, SIZE_MAX / 2);
}

static void run_stream_bytes(const json_t *c)
{
	run_stream_pieces(c, 1);
}

static void test_streams(void **state)
{
	vectors_run("frames_bad.json", "streams", run_stream_whole);
	vectors_run("frames_bad.json", "streams", run_stream_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fresh),
		cmocka_unit_test(test_resumed),
		cmocka_unit_test(test_streams),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
