/* SPDX-License-Identifier: BSD-2-Clause */
#include <tcpcrypt/eno.h>

#include "core/eno_scan.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

static enum tcpcrypt_role role_of(const json_t *c, const char *key)
{
	const char *role = vectors_text(c, key);

	assert_non_null(role);
	return role[0] == 'A' ? TCPCRYPT_ROLE_A : TCPCRYPT_ROLE_B;
}

static size_t read_teps(const json_t *settings, const char *key,
			uint8_t teps[TCPCRYPT_ENO_TEPS_MAX])
{
	const json_t *list = vectors_member(settings, key);
	const json_t *tep;
	size_t i;

	assert_true(json_array_size(list) <= TCPCRYPT_ENO_TEPS_MAX);
	json_array_foreach(list, i, tep) teps[i] = (uint8_t)json_integer_value(tep);
	return json_array_size(list);
}

static struct tcpcrypt_eno_resume read_resume(const json_t *session, const char *nonce_hex)
{
	struct bytes id = vectors_bytes(session, "resume_id");
	struct bytes nonce = vectors_hex(nonce_hex);
	struct tcpcrypt_eno_resume resume = {
		.tep = (uint8_t)vectors_integer(session, "tep"),
		.original_role = role_of(session, "original_role"),
		.nonce_len = nonce.len,
	};

	assert_int_equal(id.len, sizeof(resume.identifier));
	memcpy(resume.identifier, id.data, id.len);
	assert_true(nonce.len <= sizeof(resume.nonce));
	memcpy(resume.nonce, nonce.data, nonce.len);
	free(id.data);
	free(nonce.data);
	return resume;
}

static enum tcpcrypt_eno_reason reason_of(const char *text)
{
	static const struct {
		const char *prefix;
		enum tcpcrypt_eno_reason reason;
	} reasons[] = {
		{ "ok", TCPCRYPT_ENO_OK },
		{ "no-eno-option", TCPCRYPT_ENO_NO_OPTION },
		{ "ill-formed", TCPCRYPT_ENO_ILL_FORMED },
		{ "vacuous", TCPCRYPT_ENO_VACUOUS },
		{ "role-conflict", TCPCRYPT_ENO_ROLE_CONFLICT },
		{ "mandatory-application-aware", TCPCRYPT_ENO_NOT_APP_AWARE },
		{ "no-valid-tep", TCPCRYPT_ENO_NO_COMMON_TEP },
	};

	for (size_t i = 0; i < N_ELEMENTS(reasons); i++) {
		if (strncmp(text, reasons[i].prefix, strlen(reasons[i].prefix)) == 0)
			return reasons[i].reason;
	}
	fail_msg("unknown reason %s", text);
	return TCPCRYPT_ENO_OK;
}

/*
 * 8547-4.2-4, 8547-4.2-5, 8547-4.2-6, 8547-4.3-1, 8547-4.3-2, 8547-4.4-7, 8547-4.6-3,
 * 8547-4.6-11, 8547-4.8-2, 8548-3.2-3, 8548-3.5-11, 8548-3.5-12, 8548-3.5-13, 8548-3.5-14
 */
static void expect_result(const json_t *expected, const struct tcpcrypt_eno_result *result)
{
	const json_t *peer_a = json_object_get(expected, "peer_a");

	assert_int_equal(result->reason, reason_of(vectors_text(expected, "reason")));
	assert_int_equal(result->reason == TCPCRYPT_ENO_OK, vectors_bool(expected, "encrypt"));
	if (peer_a)
		assert_int_equal(!!(result->peer_global & TCPCRYPT_ENO_GLOBAL_A),
				 json_integer_value(peer_a));
	if (result->reason != TCPCRYPT_ENO_OK) {
		assert_int_equal(result->transcript_len, 0);
		return;
	}
	assert_int_equal(result->role, role_of(expected, "role"));
	assert_int_equal(result->tep_byte, vectors_integer(expected, "tep_byte"));
	assert_int_equal(result->tep_byte & ENO_GLT, vectors_integer(expected, "tep"));
	assert_int_equal(result->resumed, strcmp(vectors_text(expected, "mode"), "resume") == 0);
	vectors_expect(expected, "transcript", result->transcript, result->transcript_len);
	if (result->resumed)
		vectors_expect(expected, "sn", result->nonces, result->nonces_len);
	else
		assert_int_equal(result->nonces_len, 0);
}

static enum tcpcrypt_eno_opener opener_of(const char *at)
{
	if (strncmp(at, "simultaneous", strlen("simultaneous")) == 0)
		return TCPCRYPT_ENO_SIMULTANEOUS;
	return strcmp(at, "active") == 0 ? TCPCRYPT_ENO_ACTIVE : TCPCRYPT_ENO_PASSIVE;
}

static void run_case(const json_t *c)
{
	const json_t *s = vectors_member(c, "settings");
	const json_t *offer = vectors_member(s, "offer");
	const char *at = vectors_text(c, "at");
	struct bytes a = vectors_bytes(c, "a_option"), b = vectors_bytes(c, "b_option");
	bool first = strcmp(at, "active") == 0 || strcmp(at, "simultaneous-1") == 0;
	struct tcpcrypt_eno_resume resume;
	struct tcpcrypt_eno_result result;
	uint8_t teps[TCPCRYPT_ENO_TEPS_MAX];
	struct tcpcrypt_eno_settings settings = {
		.opener = opener_of(at),
		.teps = teps,
		.n_teps = read_teps(s, "teps", teps),
		.mandatory_app_aware = vectors_bool(s, "mandatory_application_aware"),
	};

	if (!json_is_null(offer)) {
		resume = read_resume(offer, vectors_text(offer, "nonce"));
		settings.resume = &resume;
	}
	if (first)
		tcpcrypt_eno_negotiate(&settings, a.data, a.len, b.data, b.len, &result);
	else
		tcpcrypt_eno_negotiate(&settings, b.data, b.len, a.data, a.len, &result);
	expect_result(vectors_member(c, "expected"), &result);
	free(a.data);
	free(b.data);
}

static void test_negotiation(void **state)
{
	vectors_run("eno_negotiation.json", "cases", run_case);
}

#define CACHE_MAX 4

static size_t read_cache(const json_t *settings, struct tcpcrypt_eno_resume cache[CACHE_MAX])
{
	const json_t *list = vectors_member(settings, "cache");
	const json_t *session;
	size_t i;

	/* A policy that ignores resumption simply has no cache to look into. */
	if (!vectors_bool(settings, "resumption_allowed"))
		return 0;
	assert_true(json_array_size(list) <= CACHE_MAX);
	json_array_foreach(list, i, session)
		cache[i] = read_resume(session, vectors_text(settings, "nonce"));
	return json_array_size(list);
}

/* What a passive opener sent is what the active one must find acceptable. */
static void expect_agreement(const struct tcpcrypt_eno_settings *settings,
			     const struct tcpcrypt_eno_resume *hit, const struct bytes *syn,
			     const uint8_t *answer, size_t len)
{
	struct tcpcrypt_eno_settings own = *settings;
	struct tcpcrypt_eno_result result;

	own.resume = hit;
	tcpcrypt_eno_negotiate(&own, answer, len, syn->data, syn->len, &result);
	assert_int_equal(result.reason, TCPCRYPT_ENO_OK);
	assert_int_equal(result.role, TCPCRYPT_ROLE_B);
	assert_int_equal(result.resumed, hit != NULL);
}

/*
 * 8547-4.2-3, 8547-4.2-8, 8547-4.5-1, 8547-4.6-13, 8547-4.6-14, 8548-3.2-2, 8548-3.5-6,
 * 8548-3.5-7, 8548-3.5-8, 8548-3.5-9, 8548-3.5-10
 */
static void run_response(const json_t *c)
{
	const json_t *s = vectors_member(c, "settings");
	struct bytes syn = vectors_bytes(c, "a_option"), expected = vectors_bytes(c, "b_option");
	const char *mode = vectors_text(c, "mode"), *reason_text = vectors_text(c, "reason");
	const struct tcpcrypt_eno_resume *hit;
	struct tcpcrypt_eno_resume cache[CACHE_MAX];
	uint8_t teps[TCPCRYPT_ENO_TEPS_MAX], out[TCPCRYPT_ENO_OPTION_MAX];
	enum tcpcrypt_eno_reason reason;
	size_t len;
	struct tcpcrypt_eno_settings settings = {
		.opener = TCPCRYPT_ENO_PASSIVE,
		.teps = teps,
		.n_teps = read_teps(s, "teps_most_preferred_first", teps),
		.global = vectors_bool(s, "a_bit") ? TCPCRYPT_ENO_GLOBAL_A : 0,
		.mandatory_app_aware = vectors_bool(s, "mandatory_application_aware"),
	};

	assert_int_equal(tcpcrypt_eno_answer(&settings, syn.data, syn.len, cache,
					     read_cache(s, cache), out, &len, &reason, &hit),
			 0);
	assert_int_equal(len, expected.len);
	if (len) {
		assert_memory_equal(out, expected.data, len);
		expect_agreement(&settings, hit, &syn, out, len);
	}
	assert_int_equal(reason == TCPCRYPT_ENO_OK, mode != NULL);
	assert_int_equal(hit != NULL, mode && strcmp(mode, "resume") == 0);
	/* The vectors call ill-formed and vacuous by the rule of section 4.6 that applies. */
	if (reason == TCPCRYPT_ENO_ILL_FORMED)
		assert_string_equal(reason_text, "no-eno-option");
	else if (reason == TCPCRYPT_ENO_VACUOUS)
		assert_string_equal(reason_text, "no-valid-tep");
	else if (reason != TCPCRYPT_ENO_OK)
		assert_int_equal(reason, reason_of(reason_text));
	free(syn.data);
	free(expected.data);
}

static void test_responses(void **state)
{
	vectors_run("eno_negotiation.json", "responses", run_response);
}

static const uint8_t two_teps[] = { TCPCRYPT_TEP_X25519, TCPCRYPT_TEP_P256 };

static void expect_offer(const struct tcpcrypt_eno_settings *settings, const char *hex)
{
	struct bytes expected = vectors_hex(hex);
	uint8_t out[TCPCRYPT_ENO_OPTION_MAX];
	size_t len;

	assert_int_equal(tcpcrypt_eno_offer(settings, out, &len), 0);
	assert_int_equal(len, expected.len);
	assert_memory_equal(out, expected.data, len);
	free(expected.data);
}

/* 8547-4.2-1, 8547-4.2-4, 8547-4.2-5, 8547-4.6-12, 8548-3.2-1: the most wanted TEP is last. */
static void test_offer(void **state)
{
	struct tcpcrypt_eno_settings settings = { .teps = two_teps, .n_teps = 2 };

	expect_offer(&settings, "45042123");
	settings.global = TCPCRYPT_ENO_GLOBAL_A;
	expect_offer(&settings, "4505022123");
	settings.global = TCPCRYPT_ENO_GLOBAL_B;
	expect_offer(&settings, "4505012123");
	settings.global = 0;
	settings.mandatory_app_aware = true;
	expect_offer(&settings, "4505022123");
	settings.mandatory_app_aware = false;
	settings.n_teps = 0;
	expect_offer(&settings, "4502");
}

static struct tcpcrypt_eno_resume some_resume(void)
{
	struct tcpcrypt_eno_resume resume = {
		.tep = TCPCRYPT_TEP_X25519,
		.original_role = TCPCRYPT_ROLE_A,
		.nonce_len = 8,
	};

	for (size_t i = 0; i < sizeof(resume.identifier); i++)
		resume.identifier[i] = (uint8_t)(0x10 + i);
	for (size_t i = 0; i < sizeof(resume.nonce); i++)
		resume.nonce[i] = (uint8_t)(0xf0 + i);
	return resume;
}

/*
 * 8547-4.4-2, 8548-3.5-1, 8548-3.5-4, 8548-3.5-5, 8548-3.5-15, 8548-3.5-16: the resumption
 * suboption is the last one, and its TEP does not stand there a second time.
 */
static void test_offer_resumption(void **state)
{
	struct tcpcrypt_eno_resume resume = some_resume();
	struct tcpcrypt_eno_settings settings = {
		.teps = two_teps,
		.n_teps = 2,
		.resume = &resume,
	};

	expect_offer(&settings, "451521a3101112131415161718f0f1f2f3f4f5f6f7");
	resume.original_role = TCPCRYPT_ROLE_B;
	resume.nonce_len = 3;
	expect_offer(&settings, "451021a3191a1b1c1d1e1f2021f0f1f2");
	resume.nonce_len = 0;
	settings.global = TCPCRYPT_ENO_GLOBAL_A;
	expect_offer(&settings, "450e0221a3191a1b1c1d1e1f2021");
}

/* 8547-4.2-7, 8548-3.5-1: what may not be sent is refused. */
static void test_offer_refused(void **state)
{
	static const uint8_t repeated[] = { 0x23, 0x23 }, too_small[] = { 0x1f },
			     too_big[] = { 0xa3 };
	struct tcpcrypt_eno_resume resume = some_resume();
	const struct tcpcrypt_eno_settings bad[] = {
		{ .teps = repeated, .n_teps = 2 },
		{ .teps = too_small, .n_teps = 1 },
		{ .teps = too_big, .n_teps = 1 },
		{ .teps = NULL, .n_teps = 1 },
		{ .teps = two_teps, .n_teps = TCPCRYPT_ENO_TEPS_MAX + 1 },
		{ .teps = two_teps, .n_teps = 2, .global = 0x04 },
		{ .teps = two_teps, .n_teps = 2, .opener = TCPCRYPT_ENO_PASSIVE },
		{ .teps = two_teps + 1, .n_teps = 1, .resume = &resume },
	};
	struct tcpcrypt_eno_settings settings = {
		.teps = two_teps,
		.n_teps = 2,
		.resume = &resume,
	};
	uint8_t out[TCPCRYPT_ENO_OPTION_MAX];
	size_t len;

	for (size_t i = 0; i < N_ELEMENTS(bad); i++)
		assert_int_equal(tcpcrypt_eno_offer(&bad[i], out, &len), TCPCRYPT_E_ARGUMENT);
	resume.nonce_len = 9;
	assert_int_equal(tcpcrypt_eno_offer(&settings, out, &len), TCPCRYPT_E_ARGUMENT);
}

static void test_answer_refused(void **state)
{
	static const uint8_t syn[] = { 0x45, 3, 0x23 };
	const struct tcpcrypt_eno_settings active = { .teps = two_teps, .n_teps = 2 };
	const struct tcpcrypt_eno_resume *hit;
	uint8_t out[TCPCRYPT_ENO_OPTION_MAX];
	enum tcpcrypt_eno_reason reason;
	size_t len;

	assert_int_equal(tcpcrypt_eno_answer(&active, syn, sizeof(syn), NULL, 0, out, &len, &reason,
					     &hit),
			 TCPCRYPT_E_ARGUMENT);
}

/* Settings that do not belong to the option that was really sent do not resume. */
static void test_foreign_settings(void **state)
{
	struct tcpcrypt_eno_resume sent = some_resume(), other = some_resume();
	struct tcpcrypt_eno_settings a = { .teps = two_teps, .n_teps = 2, .resume = &sent };
	struct tcpcrypt_eno_settings b = {
		.opener = TCPCRYPT_ENO_PASSIVE,
		.teps = two_teps,
		.n_teps = 2,
	};
	struct tcpcrypt_eno_resume cached = sent;
	const struct tcpcrypt_eno_resume *hit;
	uint8_t syn[TCPCRYPT_ENO_OPTION_MAX], answer[TCPCRYPT_ENO_OPTION_MAX];
	size_t syn_len, answer_len;
	struct tcpcrypt_eno_result result;
	enum tcpcrypt_eno_reason reason;

	cached.original_role = TCPCRYPT_ROLE_B;
	assert_int_equal(tcpcrypt_eno_offer(&a, syn, &syn_len), 0);
	assert_int_equal(tcpcrypt_eno_answer(&b, syn, syn_len, &cached, 1, answer, &answer_len,
					     &reason, &hit),
			 0);
	assert_ptr_equal(hit, &cached);
	tcpcrypt_eno_negotiate(&a, syn, syn_len, answer, answer_len, &result);
	assert_true(result.resumed);
	other.identifier[0] ^= 1; /* our own half: not what the SYN said */
	a.resume = &other;
	tcpcrypt_eno_negotiate(&a, syn, syn_len, answer, answer_len, &result);
	assert_int_equal(result.reason, TCPCRYPT_ENO_NO_COMMON_TEP);
	a.resume = NULL;
	tcpcrypt_eno_negotiate(&a, syn, syn_len, answer, answer_len, &result);
	assert_int_equal(result.reason, TCPCRYPT_ENO_NO_COMMON_TEP);
}

static void test_reason_names(void **state)
{
	static const char *const names[] = {
		"ok",
		"no-eno",
		"ill-formed",
		"vacuous",
		"role-conflict",
		"not-app-aware",
		"no-common-tep",
		"ack-without-eno",
		"syn-retries",
		"syn-cookie",
		"left-alone",
		"no-engine",
	};

	for (unsigned int i = 0; i < N_ELEMENTS(names); i++)
		assert_string_equal(tcpcrypt_eno_reason_name((enum tcpcrypt_eno_reason)i),
				    names[i]);
	assert_string_equal(tcpcrypt_eno_reason_name((enum tcpcrypt_eno_reason)99), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_negotiation),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_offer),
		cmocka_unit_test(test_offer_resumption),
		cmocka_unit_test(test_offer_refused),
		cmocka_unit_test(test_answer_refused),
		cmocka_unit_test(test_foreign_settings),
		cmocka_unit_test(test_reason_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
