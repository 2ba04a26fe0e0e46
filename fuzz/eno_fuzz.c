/* SPDX-License-Identifier: BSD-2-Clause */
/* Any option area and any two options: both hosts come to the same end. */
#include "core/eno_option.h"
#include "fuzz/fuzz.h"

static const uint8_t teps[] = { 0x23, 0x21, 0x24, 0x22 };

/* Reads every byte that a decoded option points to. */
static void walk(const uint8_t *option, size_t len)
{
	struct eno_option decoded;
	unsigned int sum = 0;

	if (eno_option_decode(option, len, &decoded) != 0)
		return;
	for (size_t i = 0; i < decoded.n_teps; i++) {
		const struct eno_suboption *sub = &decoded.teps[i];

		FUZZ_EXPECT(sub->data + sub->data_len <= option + len);
		for (size_t j = 0; j < sub->data_len; j++)
			sum += sub->data[j];
	}
	FUZZ_EXPECT(sum <= 255 * len);
}

static void find(const uint8_t *area, size_t len)
{
	const uint8_t *option;
	size_t option_len, n;

	n = eno_option_find(area, len, &option, &option_len);
	FUZZ_EXPECT((n > 0) == (option != NULL));
	if (n == 0)
		return;
	FUZZ_EXPECT(option >= area && option + option_len <= area + len);
	FUZZ_EXPECT(option[1] == option_len);
	walk(option, option_len);
}

/* One of this host's cached sessions, taken from what the peer sent so that it matches. */
static struct tcpcrypt_eno_resume cached(const uint8_t *option, size_t len)
{
	struct tcpcrypt_eno_resume resume = {
		.tep = 0x23,
		.original_role = TCPCRYPT_ROLE_B,
		.nonce_len = 8,
	};

	if (len >= 3 + WIRE_RESUME_HALF_LEN)
		memcpy(resume.identifier, option + 3, WIRE_RESUME_HALF_LEN);
	return resume;
}

/* What the passive opener answers to anything, the active one understands the same way. */
static void answer(const uint8_t *syn, size_t len)
{
	struct tcpcrypt_eno_settings passive = {
		.opener = TCPCRYPT_ENO_PASSIVE,
		.teps = teps,
		.n_teps = sizeof(teps),
	};
	struct tcpcrypt_eno_settings active = passive;
	struct tcpcrypt_eno_resume cache = cached(syn, len), offered = cache;
	struct tcpcrypt_eno_result result_a, result_b;
	const struct tcpcrypt_eno_resume *hit;
	uint8_t out[TCPCRYPT_ENO_OPTION_MAX];
	enum tcpcrypt_eno_reason reason;
	size_t out_len;

	FUZZ_EXPECT(tcpcrypt_eno_answer(&passive, syn, len, &cache, 1, out, &out_len, &reason,
					&hit) == 0);
	FUZZ_EXPECT((out_len > 0) == (reason == TCPCRYPT_ENO_OK));
	offered.original_role = TCPCRYPT_ROLE_A;
	active.opener = TCPCRYPT_ENO_ACTIVE;
	active.resume = hit ? &offered : NULL;
	passive.resume = hit;
	tcpcrypt_eno_negotiate(&passive, out, out_len, syn, len, &result_b);
	tcpcrypt_eno_negotiate(&active, syn, len, out, out_len, &result_a);
	FUZZ_EXPECT((result_a.reason == TCPCRYPT_ENO_OK) == (out_len > 0));
	FUZZ_EXPECT((result_b.reason == TCPCRYPT_ENO_OK) == (out_len > 0));
	if (out_len == 0)
		return;
	FUZZ_EXPECT(result_a.role == TCPCRYPT_ROLE_A && result_b.role == TCPCRYPT_ROLE_B);
	FUZZ_EXPECT(result_a.tep_byte == result_b.tep_byte);
	FUZZ_EXPECT(result_a.resumed == result_b.resumed && result_a.resumed == (hit != NULL));
	FUZZ_EXPECT(result_a.nonces_len == result_b.nonces_len);
	FUZZ_EXPECT(memcmp(result_a.nonces, result_b.nonces, result_a.nonces_len) == 0);
	FUZZ_EXPECT(result_a.transcript_len == len + out_len);
	FUZZ_EXPECT(memcmp(result_a.transcript, result_b.transcript, len + out_len) == 0);
}

/* Any two options, seen from both ends of a simultaneous open without resumption. */
static void negotiate(const uint8_t *one, size_t one_len, const uint8_t *two, size_t two_len)
{
	const struct tcpcrypt_eno_settings settings = {
		.opener = TCPCRYPT_ENO_SIMULTANEOUS,
		.teps = teps,
		.n_teps = sizeof(teps),
	};
	struct tcpcrypt_eno_result a, b;

	tcpcrypt_eno_negotiate(&settings, one, one_len, two, two_len, &a);
	tcpcrypt_eno_negotiate(&settings, two, two_len, one, one_len, &b);
	FUZZ_EXPECT((a.reason == TCPCRYPT_ENO_OK) == (b.reason == TCPCRYPT_ENO_OK));
	if (a.reason != TCPCRYPT_ENO_OK)
		return;
	FUZZ_EXPECT(a.role != b.role && a.tep_byte == b.tep_byte);
	FUZZ_EXPECT(!a.resumed && !b.resumed);
	FUZZ_EXPECT(memcmp(a.transcript, b.transcript, one_len + two_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	const uint8_t *first, *second;
	size_t first_len, second_len;

	find(data, len);
	walk(data, len);
	first_len = len > 1 ? data[1] : 0;
	first = fuzz_bytes(&in, &first_len);
	second_len = in.left;
	second = fuzz_bytes(&in, &second_len);
	answer(first, first_len);
	negotiate(first, first_len, second, second_len);
	return 0;
}
