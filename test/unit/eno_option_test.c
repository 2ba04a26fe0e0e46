/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/eno_option.h"
#include "core/eno_scan.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

/* 8547-4.2-1, 8547-4.2-2, 8547-4.2-7: the first global suboption counts, unknown bits do not. */
static void expect_globals(const json_t *decoded, const struct eno_option *option)
{
	assert_int_equal(option->global, vectors_integer(decoded, "global"));
	assert_int_equal(option->explicit_global, vectors_bool(decoded, "explicit_global"));
	assert_int_equal(!!(option->global & TCPCRYPT_ENO_GLOBAL_A), vectors_integer(decoded, "a"));
	assert_int_equal(!!(option->global & TCPCRYPT_ENO_GLOBAL_B), vectors_integer(decoded, "b"));
}

static void expect_tep(const json_t *tep, const struct eno_suboption *sub)
{
	assert_int_equal(sub->octet & ENO_GLT, vectors_integer(tep, "tep"));
	assert_int_equal(!!(sub->octet & ENO_V), vectors_integer(tep, "v"));
	assert_int_equal(sub->length_byte, vectors_bool(tep, "length_byte"));
	if (json_is_null(vectors_member(tep, "data")))
		assert_int_equal(sub->data_len, 0);
	else
		vectors_expect(tep, "data", sub->data, sub->data_len);
}

static void expect_decoded(const json_t *decoded, const struct eno_option *option)
{
	const json_t *teps = vectors_member(decoded, "teps");
	const json_t *syn_tep = vectors_member(decoded, "syn_tep");
	const json_t *tep;
	size_t i;

	expect_globals(decoded, option);
	assert_int_equal(option->n_teps, json_array_size(teps));
	json_array_foreach(teps, i, tep) expect_tep(tep, &option->teps[i]);
	assert_int_equal(option->n_teps == 0, vectors_bool(decoded, "vacuous"));
	if (option->n_teps)
		assert_int_equal(option->teps[option->n_teps - 1].octet & ENO_GLT,
				 json_integer_value(syn_tep));
	else
		assert_true(json_is_null(syn_tep));
}

/*
 * 8547-4.1-4, 8547-4.4-1, 8547-4.4-3, 8547-4.4-4, 8547-4.4-5, 8547-4.4-6, 8547-4.6-10: every
 * option of the vectors, at the end of an allocation that ends with it.
 */
static void run_option(const json_t *c)
{
	struct bytes option = vectors_bytes(c, "option");
	bool ok = strcmp(vectors_text(c, "result"), "ok") == 0;
	struct eno_option decoded;
	uint8_t *exact = malloc(option.len);

	assert_non_null(exact);
	memcpy(exact, option.data, option.len);
	memset(&decoded, 0xa5, sizeof(decoded));
	assert_int_equal(eno_option_decode(exact, option.len, &decoded),
			 ok ? 0 : TCPCRYPT_ENO_ILL_FORMED);
	if (ok)
		expect_decoded(vectors_member(c, "decoded"), &decoded);
	else
		assert_int_equal(decoded.global, 0xa5); /* results are untouched on failure */
	free(exact);
	free(option.data);
}

static void run_fuzz(const json_t *c)
{
	struct bytes option = vectors_bytes(c, "option");
	bool ok = strcmp(vectors_text(c, "result"), "ok") == 0;
	struct eno_option decoded;
	const json_t *tep;
	size_t i;

	assert_int_equal(eno_option_decode(option.data, option.len, &decoded),
			 ok ? 0 : TCPCRYPT_ENO_ILL_FORMED);
	if (ok) {
		assert_int_equal(decoded.global, vectors_integer(c, "global"));
		assert_int_equal(decoded.n_teps, json_array_size(vectors_member(c, "teps")));
		json_array_foreach(vectors_member(c, "teps"), i, tep)
		{
			struct bytes data = vectors_hex(json_string_value(json_array_get(tep, 1)));

			assert_int_equal(decoded.teps[i].octet,
					 json_integer_value(json_array_get(tep, 0)));
			assert_int_equal(decoded.teps[i].data_len, data.len);
			if (data.len)
				assert_memory_equal(decoded.teps[i].data, data.data, data.len);
			free(data.data);
		}
	}
	free(option.data);
}

/* 8547-4.1-2, 8547-4.1-7: in a non-SYN segment presence is all that counts. */
static void expect_non_syn(const json_t *c, size_t n)
{
	assert_int_equal(n > 0, strcmp(vectors_text(c, "result"), "present") == 0);
}

/* 8547-4.1-5, 8547-4.1-6: two ENO options in a SYN are as good as none. */
static void expect_syn(const json_t *c, size_t n, const uint8_t *option, size_t len)
{
	const char *result = vectors_text(c, "result");
	struct eno_option decoded;

	if (strcmp(result, "none") == 0) {
		assert_int_equal(n, 0);
		return;
	}
	assert_true(n > 0);
	if (strcmp(result, "ignored") == 0) {
		assert_true(n > 1 || eno_option_decode(option, len, &decoded) != 0);
		return;
	}
	assert_string_equal(result, "ok");
	assert_int_equal(n, 1);
	vectors_expect(c, "option", option, len);
	assert_int_equal(eno_option_decode(option, len, &decoded), 0);
	expect_decoded(vectors_member(c, "decoded"), &decoded);
}

/* 8547-11-2: kind 69 only. */
static void run_header(const json_t *c)
{
	struct bytes area = vectors_bytes(c, "tcp_options");
	const uint8_t *option;
	size_t len, n;

	n = eno_option_find(area.data, area.len, &option, &len);
	assert_int_equal(n > 0, option != NULL);
	if (strcmp(vectors_text(c, "segment"), "SYN") == 0)
		expect_syn(c, n, option, len);
	else
		expect_non_syn(c, n);
	free(area.data);
}

static void test_options(void **state)
{
	vectors_run("eno_options.json", "options", run_option);
}

static void test_fuzz(void **state)
{
	vectors_run("eno_options.json", "fuzz", run_fuzz);
}

static void test_headers(void **state)
{
	vectors_run("eno_options.json", "headers", run_header);
}

/* The scanner alone, as the BPF programs use it, gives the same verdict as the vectors. */
static void run_scan(const json_t *c)
{
	struct bytes option = vectors_bytes(c, "option");
	struct eno_scan scan = { 0 };
	size_t n_teps = 0, n_globals = 0;
	bool bad = option.data[1] != option.len;

	for (size_t i = 2; i < option.len && !bad; i++) {
		switch (eno_scan_byte(&scan, option.data[i], (uint32_t)(option.len - i - 1))) {
		case ENO_SCAN_TEP:
			n_teps++;
			break;
		case ENO_SCAN_GLOBAL:
			n_globals++;
			break;
		case ENO_SCAN_BAD:
			bad = true;
			break;
		case ENO_SCAN_NOTHING:
			break;
		}
	}
	assert_int_equal(bad, strcmp(vectors_text(c, "result"), "ok") != 0);
	if (!bad) {
		const json_t *decoded = vectors_member(c, "decoded");

		assert_int_equal(n_teps, json_array_size(vectors_member(decoded, "teps")));
		assert_int_equal(n_globals, json_array_size(vectors_member(decoded, "globals")));
		assert_int_equal(scan.expect, ENO_SCAN_EXPECT_SUBOPTION);
	} else if (option.data[1] == option.len) {
		/* What came later cannot mend it. */
		assert_int_equal(eno_scan_byte(&scan, 0x23, 0), ENO_SCAN_BAD);
	}
	free(option.data);
}

static void test_scan(void **state)
{
	vectors_run("eno_options.json", "options", run_scan);
}

/* Not an option at all, or one whose length byte disagrees with the caller's. */
static void test_not_an_option(void **state)
{
	static const uint8_t other[] = { 70, 3, 0x23 }, lies[] = { 69, 4, 0x23 };
	uint8_t long_one[TCPCRYPT_ENO_OPTION_MAX + 1] = { 69, TCPCRYPT_ENO_OPTION_MAX + 1 };
	struct eno_option decoded;

	assert_int_equal(eno_option_decode(other, 3, &decoded), TCPCRYPT_ENO_ILL_FORMED);
	assert_int_equal(eno_option_decode(lies, 3, &decoded), TCPCRYPT_ENO_ILL_FORMED);
	assert_int_equal(eno_option_decode(lies, 1, &decoded), TCPCRYPT_ENO_ILL_FORMED);
	assert_int_equal(eno_option_decode(long_one, sizeof(long_one), &decoded),
			 TCPCRYPT_ENO_ILL_FORMED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_options),	      cmocka_unit_test(test_fuzz),
		cmocka_unit_test(test_headers),	      cmocka_unit_test(test_scan),
		cmocka_unit_test(test_not_an_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
