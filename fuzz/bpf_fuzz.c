/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The negotiation of the BPF programs (bpf/eno_options.h) beside that of core: whatever two
 * option areas hold and whatever this host supports, both decide the same.
 */
#include "bpf/eno_options.h"
#include "core/eno_option.h"
#include "fuzz/fuzz.h"

static const uint8_t all_teps[] = { 0x23, 0x21, 0x24, 0x22, 0x20, 0x7f };

/* What this host supports, in its order; and mandatory application-aware mode. */
struct host {
	uint8_t teps[SHARED_TEPS_MAX];
	size_t n;
	bool mandatory;
	bool resumes; /* it has a session, of its first TEP, and offers or accepts to resume it */
	struct tcpcrypt_eno_resume session;
};

static struct host host_read(struct fuzz_input *in)
{
	uint8_t choice = fuzz_byte(in);
	struct host h = { .mandatory = choice & 1 };
	size_t first = (choice >> 1) % sizeof(all_teps);

	h.n = (choice >> 4) % (SHARED_TEPS_MAX + 1);
	for (size_t i = 0; i < h.n; i++)
		h.teps[i] = all_teps[(first + i) % sizeof(all_teps)];
	/* An identifier that the fuzzer guesses: what it sends is often zeros or ones. */
	h.resumes = choice & 8 && h.n;
	h.session.tep = h.teps[0];
	h.session.original_role = choice & 2 ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A;
	memset(h.session.identifier, choice & 4 ? 0x31 : 0, SHARED_HALF_LEN);
	memset(h.session.identifier + SHARED_HALF_LEN, choice & 4 ? 0 : 0x31, SHARED_HALF_LEN);
	h.session.nonce_len = choice >> 5;
	return h;
}

/* What the other host would send of its identifier. */
static struct shared_half peer_half(const struct host *h)
{
	bool was_a = h->session.original_role == TCPCRYPT_ROLE_A;
	struct shared_half half = { .tep = h->resumes ? h->session.tep : 0 };

	memcpy(half.bytes, h->session.identifier + (was_a ? SHARED_HALF_LEN : 0), SHARED_HALF_LEN);
	return half;
}

static struct tcpcrypt_eno_settings settings_of(const struct host *h,
						enum tcpcrypt_eno_opener opener)
{
	return (struct tcpcrypt_eno_settings){
		.opener = opener,
		.teps = h->teps,
		.n_teps = h->n,
		.mandatory_app_aware = h->mandatory,
		.resume = h->resumes ? &h->session : NULL,
	};
}

/* The ENO option as core finds it: 8547-4.1-6, two are as good as none. */
static size_t find(const uint8_t *area, size_t len, const uint8_t **ret_option)
{
	size_t option_len = 0;

	if (eno_option_find(area, len, ret_option, &option_len) == 1)
		return option_len;
	*ret_option = NULL;
	return 0;
}

static bool kernel_reads(struct eno_match *m, struct eno_area *a, const struct host *h,
			 const uint8_t *area, size_t len)
{
	*a = (struct eno_area){ .len = (uint32_t)len };
	*m = (struct eno_match){ 0 };
	if (len)
		memcpy(a->bytes, area, len);
	eno_area_walk(a);
	return eno_match_read(m, a, h->teps) && (!h->mandatory || m->global & ENO_GLOBAL_A);
}

static void answer(const struct host *h, const uint8_t *area, size_t len)
{
	struct tcpcrypt_eno_settings settings = settings_of(h, TCPCRYPT_ENO_PASSIVE);
	const struct tcpcrypt_eno_resume *hit;
	uint8_t out[TCPCRYPT_ENO_OPTION_MAX], tep;
	enum tcpcrypt_eno_reason reason;
	const uint8_t *option;
	size_t option_len = find(area, len, &option), out_len;
	const struct shared_half half = peer_half(h);
	struct eno_match m;
	struct eno_area a;

	tep = kernel_reads(&m, &a, h, area, len) ? eno_match_answer(&m) : 0;
	for (uint32_t t = 0; tep && h->resumes && t < SHARED_TEPS_MAX; t++)
		if (eno_match_resumes(&m, t, &half))
			tep = half.tep | ENO_V;
	FUZZ_EXPECT(tcpcrypt_eno_answer(&settings, option, option_len, &h->session, h->resumes, out,
					&out_len, &reason, &hit) == 0);
	FUZZ_EXPECT((out_len > 0) == (tep != 0));
	FUZZ_EXPECT(!tep || out[3] == tep);
	FUZZ_EXPECT((hit != NULL) == !!(tep & ENO_V));
}

static void accept(const struct host *h, const uint8_t *area, size_t len)
{
	struct tcpcrypt_eno_settings settings = settings_of(h, TCPCRYPT_ENO_ACTIVE);
	const struct shared_half half = peer_half(h);
	uint8_t own[TCPCRYPT_ENO_OPTION_MAX], tep;
	struct tcpcrypt_eno_result result;
	const uint8_t *option;
	size_t option_len = find(area, len, &option), own_len;
	struct eno_match m;
	struct eno_area a;

	tep = kernel_reads(&m, &a, h, area, len) ? eno_match_accept(&m, &half) : 0;
	FUZZ_EXPECT(tcpcrypt_eno_offer(&settings, own, &own_len) == 0);
	tcpcrypt_eno_negotiate(&settings, own, own_len, option, option_len, &result);
	FUZZ_EXPECT((result.reason == TCPCRYPT_ENO_OK) == (tep != 0));
	FUZZ_EXPECT(!tep || result.tep_byte == tep);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct fuzz_input in = { data, len };
	struct host h = host_read(&in);
	size_t area_len = SHARED_OPTION_MAX;
	const uint8_t *bytes = fuzz_bytes(&in, &area_len);
	uint8_t *area = malloc(area_len + !area_len);

	FUZZ_EXPECT(area);
	memcpy(area, bytes, area_len);
	answer(&h, area, area_len);
	accept(&h, area, area_len);
	free(area);
	return 0;
}
