/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Finding ENO in a TCP option area and negotiating, written so that the BPF verifier follows it:
 * loops over an option are callbacks over one byte. The same code compiles natively, where the
 * unit test runs the test vectors through it. Which secrets can be resumed is the caller's to
 * know (bpf/resumption.h); to the rest, a resumption suboption is an offer of fresh exchange
 * (8548-3.5-8).
 */
#ifndef BPF_ENO_OPTIONS_H
#define BPF_ENO_OPTIONS_H

#include <stdint.h>

#include "bpf/shared.h"
#include "core/eno_scan.h"

#ifdef __bpf__
#include "bpf/loop.h"

#define ENO_EACH_BYTE(n, fn, ctx) bpf_loop(n, fn, ctx, 0)
#else
static inline uint32_t loop_zero(void)
{
	return 0;
}

#define ENO_EACH_BYTE(n, fn, ctx)                         \
	for (uint32_t eno_i_ = 0; eno_i_ < (n); eno_i_++) \
		if (fn(eno_i_, ctx))                      \
			break;
#endif

#define ENO_KIND       69
#define ENO_OPT_EOL    0
#define ENO_OPT_NOP    1
#define ENO_RESUME_MIN 9  /* half an identifier: less is an offer of fresh exchange */
#define ENO_RESUME_MAX 17 /* half an identifier and the longest nonce */
#define ENO_GLOBAL_B   0x01
#define ENO_GLOBAL_A   0x02

/* The TEPs of connections with these wishes (NULL: none), in decreasing preference. */
static inline void eno_teps(const struct shared_settings *s, const struct shared_wishes *w,
			    uint8_t teps[SHARED_TEPS_MAX])
{
	for (int i = 0; i < SHARED_TEPS_MAX; i++) {
		teps[i] = s->teps[i];
		if (w && w->teps.set)
			teps[i] = i < w->teps.len ? w->teps.bytes[i] & ENO_GLT : 0;
	}
}

/* What a server's SYN-ACKs have, by settings and its wishes (NULL: none). */
static inline void eno_terms(const struct shared_settings *s, const struct shared_wishes *w,
			     struct shared_terms *ret)
{
	eno_teps(s, w, ret->teps);
	if (w && !w->enabled)
		__builtin_memset(ret->teps, 0, sizeof(ret->teps));
	ret->global = w ? w->self_gopt : s->global;
	ret->mandatory_app_aware = w ? w->aa_mandatory : s->mandatory_app_aware;
	ret->nonce_len = w ? w->nonce_len : SHARED_NONCE_MAX;
	ret->wished = !!w;
}

struct eno_area {
	uint8_t bytes[64]; /* the TCP options of one segment, at most 40; power of two to mask */
	uint32_t len;
	/* Where the walk stands. */
	uint32_t kind; /* option whose length byte comes next; 0: none */
	uint32_t skip; /* bytes of the current option still to pass over */
	/* What it found. */
	uint32_t eno_count;
	uint32_t eno_at;  /* offset of the first ENO option's kind byte */
	uint32_t eno_len; /* its length, kind and length byte included */
};

/* Decision D14: options before a broken one count, the rest of the area does not exist. */
static long eno_area_step(uint32_t i, void *ctx)
{
	struct eno_area *a = ctx;
	uint8_t byte = a->bytes[i & 63];

	if (i >= a->len)
		return 1;
	if (a->skip) {
		a->skip--;
		return 0;
	}
	if (!a->kind) {
		if (byte == ENO_OPT_EOL)
			return 1;
		if (byte != ENO_OPT_NOP)
			a->kind = byte;
		return 0;
	}
	if (byte < 2 || i - 1 + byte > a->len)
		return 1;
	if (a->kind == ENO_KIND) {
		if (!a->eno_count) {
			a->eno_at = i - 1;
			a->eno_len = byte;
		}
		a->eno_count++;
	}
	a->skip = byte - 2;
	a->kind = 0;
	return 0;
}

/* Walks a->bytes[0..len): sets what was found. */
static inline void eno_area_walk(struct eno_area *a)
{
	a->kind = a->skip = a->eno_count = a->eno_at = a->eno_len = loop_zero();
	ENO_EACH_BYTE(SHARED_OPTION_MAX, eno_area_step, a);
}

struct eno_slot {
	uint8_t tep;   /* as configured or offered by this host */
	uint8_t octet; /* as last seen: TEP and v */
	uint8_t count;
	uint8_t data_len;
	uint8_t at; /* where it was last seen */
};

struct eno_match {
	struct eno_area *area;
	struct eno_scan scan;
	uint8_t explicit_global;
	uint8_t global; /* the first one counts (8547-4.2-2) */
	uint8_t n_teps; /* suboptions with any TEP; 0: vacuous */
	uint8_t ill_formed;
	struct eno_slot slots[SHARED_TEPS_MAX];
};

static long eno_match_step(uint32_t i, void *ctx)
{
	struct eno_match *m = ctx;
	struct eno_area *a = m->area;
	uint32_t at = a->eno_at + 2 + i;
	uint8_t byte = a->bytes[at & 63];

	if (i + 2 >= a->eno_len)
		return 1;
	switch (eno_scan_byte(&m->scan, byte, a->eno_len - 3 - i)) {
	case ENO_SCAN_NOTHING:
		break;
	case ENO_SCAN_GLOBAL:
		if (!m->explicit_global)
			m->global = byte;
		m->explicit_global = 1;
		break;
	case ENO_SCAN_TEP:
		m->n_teps++;
		for (int t = 0; t < SHARED_TEPS_MAX; t++) {
			struct eno_slot *slot = &m->slots[t];

			if (!slot->tep || slot->tep != (byte & ENO_GLT))
				continue;
			slot->octet = byte;
			slot->count++;
			slot->data_len = m->scan.data_left;
			slot->at = at;
		}
		break;
	case ENO_SCAN_BAD:
		m->ill_formed = 1;
		return 1;
	}
	return 0;
}

/*
 * Reads the ENO option that eno_area_walk() found against teps, this host's, into *m. Returns 1 when
 * it is a well-formed option with at least one TEP, and the only one (8547-4.1-6, 8547-4.4-5,
 * 8547-4.6-11).
 */
static inline int eno_match_read(struct eno_match *m, struct eno_area *a,
				 const uint8_t teps[SHARED_TEPS_MAX])
{
	uint32_t zero = loop_zero();

	m->area = a;
	m->scan.expect = m->scan.data_left = zero;
	m->explicit_global = m->global = m->n_teps = m->ill_formed = zero;
	for (int t = 0; t < SHARED_TEPS_MAX; t++) {
		struct eno_slot *slot = &m->slots[t];

		slot->tep = teps[t];
		slot->octet = slot->count = slot->data_len = slot->at = zero;
	}
	if (a->eno_count != 1)
		return 0;
	ENO_EACH_BYTE(SHARED_OPTION_MAX, eno_match_step, m);
	return !m->ill_formed && m->n_teps;
}

/*
 * The passive opener's choice: the first of its TEPs, in its own order, that host A offered
 * validly (8547-4.5-1; decisions D2, D3, D5). 0: none, or the roles conflict (8547-4.3-2).
 */
static inline uint8_t eno_match_answer(const struct eno_match *m)
{
	if (m->global & ENO_GLOBAL_B)
		return 0;
	for (int t = 0; t < SHARED_TEPS_MAX; t++) {
		const struct eno_slot *slot = &m->slots[t];

		if (slot->tep && slot->count == 1 && slot->data_len <= ENO_RESUME_MAX)
			return slot->tep;
	}
	return 0;
}

/*
 * The half of a resumption identifier that the option has for the TEP in this slot, in *ret.
 * Returns 0 when it has none (8548-3.5-9, 8548-3.5-10; decisions D2, D3).
 */
static inline int eno_match_half(const struct eno_match *m, uint32_t t, struct shared_half *ret)
{
	const struct eno_slot *slot = &m->slots[t & (SHARED_TEPS_MAX - 1)];

	if (!slot->tep || slot->count != 1 || !(slot->octet & ENO_V) ||
	    slot->data_len < ENO_RESUME_MIN || slot->data_len > ENO_RESUME_MAX)
		return 0;
	ret->tep = slot->tep;
	for (uint32_t i = 0; i < SHARED_HALF_LEN; i++)
		ret->bytes[i] = m->area->bytes[(slot->at + 1 + i) & 63];
	return 1;
}

/* 8548-3.5-11: the very half that answers this host's offer? */
static inline int eno_match_resumes(const struct eno_match *m, uint32_t t,
				    const struct shared_half *expected)
{
	struct shared_half half = {};
	uint8_t difference;

	if (!eno_match_half(m, t, &half))
		return 0;
	difference = half.tep ^ expected->tep;
	for (uint32_t i = 0; i < SHARED_HALF_LEN; i++)
		difference |= half.bytes[i] ^ expected->bytes[i];
	return !difference;
}

/*
 * The active opener's reading of host B's option: the last valid TEP as host B sent it, v
 * included (8547-4.5). Decision D1: v = 1 answers nothing but the offer to resume, for which
 * expected is the peer's half (its tep 0: no such offer was made). 0: none.
 */
static inline uint8_t eno_match_accept(const struct eno_match *m,
				       const struct shared_half *expected)
{
	uint8_t octet = 0, at = 0;

	if (!(m->global & ENO_GLOBAL_B))
		return 0;
	for (uint32_t t = 0; t < SHARED_TEPS_MAX; t++) {
		const struct eno_slot *slot = &m->slots[t];

		if (!slot->tep || slot->count != 1 || slot->at < at)
			continue;
		if (slot->octet & ENO_V && !eno_match_resumes(m, t, expected))
			continue;
		octet = slot->octet;
		at = slot->at;
	}
	return octet;
}

#endif
