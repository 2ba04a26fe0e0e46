// SPDX-License-Identifier: BSD-2-Clause
/*
 * The negotiation that the BPF programs do, compiled for this machine and put through the test
 * vectors: what the kernel side decides must be what core decides.
 */
#include <string.h>

#include "bpf/eno_options.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

static void area_fill(struct eno_area *a, struct bytes b)
{
	memset(a, 0, sizeof(*a));
	assert_true(b.len <= SHARED_OPTION_MAX);
	if (b.len)
		memcpy(a->bytes, b.data, b.len);
	a->len = b.len;
	eno_area_walk(a);
}

static void teps_fill(const json_t *list, uint8_t teps[SHARED_TEPS_MAX])
{
	memset(teps, 0, SHARED_TEPS_MAX);
	assert_true(json_array_size(list) <= SHARED_TEPS_MAX);
	for (size_t i = 0; i < json_array_size(list); i++)
		teps[i] = json_integer_value(json_array_get(list, i));
}

/* 8547-4.1-4, 8547-4.2-2, 8547-4.4-3, 8547-4.4-4, 8547-4.4-5, 8547-4.6-11: one option. */
static void option_case(const json_t *c)
{
	bool well_formed = !strcmp(vectors_text(c, "result"), "ok");
	const json_t *decoded = well_formed ? vectors_member(c, "decoded") : NULL;
	const uint8_t teps[SHARED_TEPS_MAX] = { 0x23 };
	struct bytes option = vectors_bytes(c, "option");
	struct eno_match m = {};
	struct eno_area a;
	bool usable;

	area_fill(&a, option);
	assert_int_equal(a.eno_count, 1);
	usable = eno_match_read(&m, &a, teps);
	if (!well_formed) {
		assert_false(usable);
	} else {
		assert_int_equal(usable, !vectors_bool(decoded, "vacuous"));
		assert_int_equal(m.global, vectors_integer(decoded, "global"));
		assert_int_equal(m.n_teps, json_array_size(vectors_member(decoded, "teps")));
	}
	free(option.data);
}

static void test_options(void **state)
{
	vectors_run("eno_options.json", "options", option_case);
}

/* 8547-4.1-5, 8547-4.1-6, 8547-4.1-2: finding ENO among a segment's options. */
static void header_case(const json_t *c)
{
	bool syn = !strcmp(vectors_text(c, "segment"), "SYN");
	const char *result = vectors_text(c, "result");
	struct bytes options = vectors_bytes(c, "tcp_options");
	const uint8_t teps[SHARED_TEPS_MAX] = { 0x23 };
	struct eno_match m = {};
	struct bytes expected;
	struct eno_area a;

	area_fill(&a, options);
	if (!syn) {
		assert_int_equal(a.eno_count > 0, !strcmp(result, "present"));
	} else if (!strcmp(result, "ok")) {
		expected = vectors_bytes(c, "option");
		assert_int_equal(a.eno_count, 1);
		assert_int_equal(a.eno_len, expected.len);
		assert_memory_equal(a.bytes + a.eno_at, expected.data, expected.len);
		free(expected.data);
	} else {
		assert_false(eno_match_read(&m, &a, teps));
	}
	free(options.data);
}

static void test_headers(void **state)
{
	vectors_run("eno_options.json", "headers", header_case);
}

/* The half that the other host sends of the identifier in a vector's session. */
static struct shared_half peer_half(const json_t *session)
{
	bool was_a = vectors_text(session, "original_role")[0] == 'A';
	struct shared_half half = { .tep = vectors_integer(session, "tep") };
	struct bytes id = vectors_bytes(session, "resume_id");

	memcpy(half.bytes, id.data + (was_a ? SHARED_HALF_LEN : 0), SHARED_HALF_LEN);
	free(id.data);
	return half;
}

/* 8548-3.5-6, 8548-3.5-7: does the option name a session of the settings' cache? */
static bool names_cached(const struct eno_match *m, const json_t *settings)
{
	const json_t *session;
	size_t i;

	if (!vectors_bool(settings, "resumption_allowed"))
		return false;
	json_array_foreach(vectors_member(settings, "cache"), i, session)
	{
		const struct shared_half half = peer_half(session);

		for (uint32_t t = 0; t < SHARED_TEPS_MAX; t++)
			if (eno_match_resumes(m, t, &half))
				return true;
	}
	return false;
}

/* 8547-4.5-1, 8547-4.3-2, 8548-3.5-9, 8548-3.5-10: what a passive opener puts in its SYN-ACK. */
static void response_case(const json_t *c)
{
	const json_t *settings = vectors_member(c, "settings");
	struct bytes option = vectors_bytes(c, "a_option");
	struct bytes expected = vectors_bytes(c, "b_option");
	bool mandatory = vectors_bool(settings, "mandatory_application_aware");
	uint8_t teps[SHARED_TEPS_MAX], tep = 0;
	struct eno_match m = {};
	struct eno_area a;

	teps_fill(vectors_member(settings, "teps_most_preferred_first"), teps);
	area_fill(&a, option);
	if (eno_match_read(&m, &a, teps) && (!mandatory || m.global & ENO_GLOBAL_A))
		tep = eno_match_answer(&m);
	if (vectors_text(c, "mode") && !strcmp(vectors_text(c, "mode"), "resume")) {
		assert_int_not_equal(tep, 0);
		assert_true(names_cached(&m, settings));
	} else {
		assert_int_equal(tep, expected.len ? expected.data[3] : 0);
		assert_false(tep && names_cached(&m, settings));
	}
	free(option.data);
	free(expected.data);
}

static void test_responses(void **state)
{
	vectors_run("eno_negotiation.json", "responses", response_case);
}

static int n_active;

/* 8547-4.5, 8547-4.6-3, 8548-3.5-11: what an active opener makes of the SYN-ACK's option. */
static void active_case(const json_t *c)
{
	const json_t *settings = vectors_member(c, "settings");
	const json_t *expected = vectors_member(c, "expected");
	const json_t *offer = vectors_member(settings, "offer");
	uint8_t supported[SHARED_TEPS_MAX], offered[SHARED_TEPS_MAX] = {}, octet = 0;
	struct shared_half half = {};
	struct eno_match own = {}, m = {};
	struct eno_area a, b;
	struct bytes option;

	/* A simultaneous open is not its own. */
	if (strcmp(vectors_text(c, "at"), "active"))
		return;
	teps_fill(vectors_member(settings, "teps"), supported);
	option = vectors_bytes(c, "a_option");
	area_fill(&a, option);
	free(option.data);
	/* This host offers what it can, each once. */
	eno_match_read(&own, &a, supported);
	if (own.global & ENO_GLOBAL_B)
		return;
	for (int i = 0; i < SHARED_TEPS_MAX; i++)
		if (own.slots[i].count == 1)
			offered[i] = own.slots[i].tep;
	if (!json_is_null(offer))
		half = peer_half(offer);
	option = vectors_bytes(c, "b_option");
	area_fill(&b, option);
	free(option.data);
	if (eno_match_read(&m, &b, offered) &&
	    (!vectors_bool(settings, "mandatory_application_aware") || m.global & ENO_GLOBAL_A))
		octet = eno_match_accept(&m, &half);
	assert_int_equal(octet, vectors_bool(expected, "encrypt")
					? vectors_integer(expected, "tep_byte")
					: 0);
	n_active++;
}

static void test_active(void **state)
{
	vectors_run("eno_negotiation.json", "cases", active_case);
	assert_true(n_active > 20);
}

/* No area of 40 bytes, however broken, is read beyond its end or walked for ever. */
static void test_noise(void **state)
{
	const uint8_t teps[SHARED_TEPS_MAX] = { 0x23, 0x21 };
	uint32_t random = 1;

	for (int round = 0; round < 200000; round++) {
		struct eno_area a = {};
		struct eno_match m = {};

		for (size_t i = 0; i < sizeof(a.bytes); i++) {
			random = random * 1664525 + 1013904223;
			/* Mostly small numbers and ENO's own, so that much of it parses. */
			a.bytes[i] = random >> 30 ? (random >> 16) % 8 : random >> 8;
			if ((random >> 8) % 5 == 0)
				a.bytes[i] = ENO_KIND;
		}
		a.len = random % (SHARED_OPTION_MAX + 1);
		eno_area_walk(&a);
		if (a.eno_count)
			assert_true(a.eno_at + a.eno_len <= a.len);
		if (eno_match_read(&m, &a, teps))
			assert_true(eno_match_answer(&m) == 0 || a.eno_len >= 3);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),	  cmocka_unit_test(test_headers),
		cmocka_unit_test(test_responses), cmocka_unit_test(test_active),
		cmocka_unit_test(test_noise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
