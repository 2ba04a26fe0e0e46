/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cursor.h"
#include "core/eno_option.h"
#include "core/eno_scan.h"
#include "core/resume.h"

const char *tcpcrypt_eno_reason_name(enum tcpcrypt_eno_reason reason)
{
	switch (reason) {
	case TCPCRYPT_ENO_OK:
		return "ok";
	case TCPCRYPT_ENO_NO_OPTION:
		return "no-eno";
	case TCPCRYPT_ENO_ILL_FORMED:
		return "ill-formed";
	case TCPCRYPT_ENO_VACUOUS:
		return "vacuous";
	case TCPCRYPT_ENO_ROLE_CONFLICT:
		return "role-conflict";
	case TCPCRYPT_ENO_NOT_APP_AWARE:
		return "not-app-aware";
	case TCPCRYPT_ENO_NO_COMMON_TEP:
		return "no-common-tep";
	case TCPCRYPT_ENO_NO_ACK:
		return "ack-without-eno";
	case TCPCRYPT_ENO_SYN_RETRIES:
		return "syn-retries";
	case TCPCRYPT_ENO_SYN_COOKIE:
		return "syn-cookie";
	case TCPCRYPT_ENO_LEFT_ALONE:
		return "left-alone";
	case TCPCRYPT_ENO_NO_ENGINE:
		return "no-engine";
	}
	return "unknown";
}

static bool supports(const struct tcpcrypt_eno_settings *settings, uint8_t tep)
{
	for (size_t i = 0; i < settings->n_teps; i++) {
		if (settings->teps[i] == tep)
			return true;
	}
	return false;
}

static bool settings_valid(const struct tcpcrypt_eno_settings *settings)
{
	if (settings->n_teps > TCPCRYPT_ENO_TEPS_MAX || (settings->n_teps && !settings->teps))
		return false;
	/* 8547-4.2-7: the reserved bits of the global suboption stay zero. */
	if (settings->global & ~(TCPCRYPT_ENO_GLOBAL_A | TCPCRYPT_ENO_GLOBAL_B))
		return false;
	for (size_t i = 0; i < settings->n_teps; i++) {
		uint8_t tep = settings->teps[i];

		if (tep < ENO_TEP_FIRST || tep > ENO_GLT)
			return false;
		for (size_t j = 0; j < i; j++) {
			if (settings->teps[j] == tep)
				return false;
		}
	}
	return true;
}

/* The global suboption that this host sends; 8547-4.2-6: mandatory mode sets a itself. */
static uint8_t own_global(const struct tcpcrypt_eno_settings *settings)
{
	uint8_t global = settings->global;

	if (settings->mandatory_app_aware)
		global |= TCPCRYPT_ENO_GLOBAL_A;
	/* 8547-4.2-3, 8547-4.2-4: b is a passive opener's; an active one may ask for it. */
	if (settings->opener == TCPCRYPT_ENO_PASSIVE)
		global |= TCPCRYPT_ENO_GLOBAL_B;
	return global;
}

/* 8547-11-3: kind 69, and never the experimental option as well. */
static struct writer begin_option(uint8_t out[TCPCRYPT_ENO_OPTION_MAX])
{
	struct writer w = writer_over(out, TCPCRYPT_ENO_OPTION_MAX);

	writer_u8(&w, TCPCRYPT_ENO_KIND);
	writer_u8(&w, 0); /* end_option() knows */
	return w;
}

static int end_option(const struct writer *w, size_t *ret_len)
{
	if (w->failed)
		return TCPCRYPT_E_ARGUMENT;
	w->start[1] = (uint8_t)w->len;
	*ret_len = w->len;
	return 0;
}

/* 8547-4.4-2: only the last suboption may do without a length byte, so it comes last. */
static void write_resumption(struct writer *w, const struct tcpcrypt_eno_resume *resume)
{
	writer_u8(w, ENO_V | resume->tep);
	writer_bytes(w, resume_half(resume->identifier, resume->original_role),
		     WIRE_RESUME_HALF_LEN);
	writer_bytes(w, resume->nonce, resume->nonce_len);
}

int tcpcrypt_eno_offer(const struct tcpcrypt_eno_settings *settings,
		       uint8_t out[TCPCRYPT_ENO_OPTION_MAX], size_t *ret_len)
{
	const struct tcpcrypt_eno_resume *resume = settings->resume;
	uint8_t global = own_global(settings);
	struct writer w;

	if (!settings_valid(settings) || settings->opener == TCPCRYPT_ENO_PASSIVE)
		return TCPCRYPT_E_ARGUMENT;
	if (resume &&
	    (resume->nonce_len > WIRE_RESUME_NONCE_MAX || !supports(settings, resume->tep)))
		return TCPCRYPT_E_ARGUMENT;
	w = begin_option(out);
	/* 8547-4.2-1: at most one global suboption, and zero goes without saying. 8547-4.6-12:
	 * without a TEP the option is vacuous, which a probe may want. */
	if (global)
		writer_u8(&w, global);
	/* 8548-3.2-1: any TEP that the settings have, of whatever protocol. */
	for (size_t i = settings->n_teps; i > 0; i--) {
		/* 8548-3.5-15, 8548-3.5-16: a TEP stands in the option once, resumed or fresh. */
		if (!resume || settings->teps[i - 1] != resume->tep)
			writer_u8(&w, settings->teps[i - 1]);
	}
	if (resume)
		write_resumption(&w, resume);
	return end_option(&w, ret_len);
}

/* 8548-3.5-9, 8548-3.5-10: v = 1 with less than an identifier half counts as v = 0. */
static bool offers_resumption(const struct eno_suboption *sub)
{
	return sub->octet & ENO_V && sub->data_len >= WIRE_RESUME_HALF_LEN;
}

/* Is this a TEP of host A's option that host B may answer? */
static bool offer_valid(const struct eno_option *offer, uint8_t tep,
			const struct eno_suboption **ret_sub)
{
	/* D3: RFC 8548 gives a repeated TEP no meaning (8547-4.4-7). */
	if (eno_option_count(offer, tep, ret_sub) != 1)
		return false;
	/* D2 */
	return !offers_resumption(*ret_sub) || resume_data_fits((*ret_sub)->data_len);
}

/* Does the suboption carry the half of resume's identifier that the other host sends? */
static bool names(const struct eno_suboption *sub, const struct tcpcrypt_eno_resume *resume)
{
	enum tcpcrypt_role peer = resume_other_role(resume->original_role);

	return (sub->octet & ENO_GLT) == resume->tep && resume_data_fits(sub->data_len) &&
	       mem_equal(sub->data, resume_half(resume->identifier, peer), WIRE_RESUME_HALF_LEN);
}

/* 8548-3.5-6, 8548-3.5-7: a cached session that the offer names under its own TEP. */
static const struct tcpcrypt_eno_resume *find_cached(const struct tcpcrypt_eno_settings *settings,
						     const struct eno_option *offer,
						     const struct tcpcrypt_eno_resume *cache,
						     size_t n)
{
	const struct eno_suboption *sub;

	for (size_t i = 0; i < n; i++) {
		if (cache[i].nonce_len <= WIRE_RESUME_NONCE_MAX &&
		    supports(settings, cache[i].tep) && offer_valid(offer, cache[i].tep, &sub) &&
		    offers_resumption(sub) && names(sub, &cache[i]))
			return &cache[i];
	}
	return NULL;
}

/* The most preferred TEP that the offer has, 0 if none. */
static uint8_t choose_tep(const struct tcpcrypt_eno_settings *settings,
			  const struct eno_option *offer)
{
	const struct eno_suboption *sub;

	for (size_t i = 0; i < settings->n_teps; i++) {
		if (offer_valid(offer, settings->teps[i], &sub))
			return settings->teps[i];
	}
	return 0;
}

/* The checks that come before any TEP is looked at, in the order of D23. */
static enum tcpcrypt_eno_reason check_globals(const struct tcpcrypt_eno_settings *settings,
					      uint8_t own, uint8_t peer)
{
	/* 8547-4.3-1, 8547-4.3-2: b tells the roles apart or there is no encryption. */
	if ((own ^ peer) & TCPCRYPT_ENO_GLOBAL_B) {
		/* 8547-4.2-6 */
		if (settings->mandatory_app_aware && !(peer & TCPCRYPT_ENO_GLOBAL_A))
			return TCPCRYPT_ENO_NOT_APP_AWARE;
		return TCPCRYPT_ENO_OK;
	}
	return TCPCRYPT_ENO_ROLE_CONFLICT;
}

/* Reads a SYN-form option that may be missing. */
static enum tcpcrypt_eno_reason read_option(const uint8_t *option, size_t len,
					    struct eno_option *ret)
{
	if (!option || len == 0)
		return TCPCRYPT_ENO_NO_OPTION;
	return eno_option_decode(option, len, ret) ? TCPCRYPT_ENO_ILL_FORMED : TCPCRYPT_ENO_OK;
}

int tcpcrypt_eno_answer(const struct tcpcrypt_eno_settings *settings, const uint8_t *peer,
			size_t peer_len, const struct tcpcrypt_eno_resume *cache, size_t n,
			uint8_t out[TCPCRYPT_ENO_OPTION_MAX], size_t *ret_len,
			enum tcpcrypt_eno_reason *ret_reason,
			const struct tcpcrypt_eno_resume **ret_hit)
{
	const struct tcpcrypt_eno_resume *hit = NULL;
	uint8_t global = own_global(settings), tep = 0;
	enum tcpcrypt_eno_reason reason;
	struct eno_option offer;
	struct writer w;

	if (settings->opener != TCPCRYPT_ENO_PASSIVE || !settings_valid(settings))
		return TCPCRYPT_E_ARGUMENT;
	reason = read_option(peer, peer_len, &offer);
	if (reason == TCPCRYPT_ENO_OK)
		reason = check_globals(settings, global, offer.global);
	if (reason == TCPCRYPT_ENO_OK) {
		hit = find_cached(settings, &offer, cache, n);
		tep = hit ? hit->tep : choose_tep(settings, &offer);
		/* 8547-4.6-10, 8547-4.6-11 */
		if (!tep)
			reason = offer.n_teps ? TCPCRYPT_ENO_NO_COMMON_TEP : TCPCRYPT_ENO_VACUOUS;
	}
	*ret_reason = reason;
	*ret_hit = hit;
	*ret_len = 0;
	/* 8547-4.6-3, 8547-4.6-13, D4: where there is nothing to agree on, no option at all. */
	if (reason != TCPCRYPT_ENO_OK)
		return 0;
	w = begin_option(out);
	/* 8547-4.2-8, 8547-4.6-14: b = 1 is never left to be understood. */
	writer_u8(&w, global);
	/* 8547-4.5-1, 8548-3.2-2, 8548-3.5-8: one TEP, and a valid one. */
	if (hit)
		write_resumption(&w, hit);
	else
		writer_u8(&w, tep);
	return end_option(&w, ret_len);
}

/* Both SYN-form options, by role and by host. */
struct negotiation {
	const struct tcpcrypt_eno_settings *settings;
	const struct eno_option *a, *b;
	enum tcpcrypt_role role; /* this host's */
};

/* Both sent v = 1 (8548-3.5-14: in a simultaneous open, too): do both suboptions name the session that this host offered? */
static bool resumption_matches(const struct negotiation *n, const struct eno_suboption *own,
			       const struct eno_suboption *peer)
{
	const struct tcpcrypt_eno_resume *resume = n->settings->resume;

	/* 8548-3.5-11, 8548-3.5-12: the other half of the same identifier or nothing. */
	return resume && names(peer, resume) &&
	       mem_equal(own->data, resume_half(resume->identifier, resume->original_role),
			 WIRE_RESUME_HALF_LEN);
}

/* Is host B's suboption valid for the connection (section 4.5)? */
static bool is_valid(const struct negotiation *n, const struct eno_suboption *sub_b,
		     const struct eno_suboption **ret_sub_a)
{
	uint8_t tep = sub_b->octet & ENO_GLT;
	const struct eno_suboption *last, *sub_a;

	if (!supports(n->settings, tep) || !offer_valid(n->a, tep, &sub_a) ||
	    eno_option_count(n->b, tep, &last) != 1)
		return false;
	*ret_sub_a = sub_a;
	if (!(sub_b->octet & ENO_V))
		return true;
	/* D1: v = 1 from B stands for resumption only, and only if A offered it. */
	if (!offers_resumption(sub_a) || !resume_data_fits(sub_b->data_len))
		return false;
	return n->role == TCPCRYPT_ROLE_A ? resumption_matches(n, sub_a, sub_b)
					  : resumption_matches(n, sub_b, sub_a);
}

static size_t append_nonce(uint8_t *sn, size_t len, const struct eno_suboption *sub)
{
	size_t nonce_len = sub->data_len - WIRE_RESUME_HALF_LEN;

	if (nonce_len)
		memcpy(sn + len, sub->data + WIRE_RESUME_HALF_LEN, nonce_len);
	return len + nonce_len;
}

/* D18: in sn the original host A's nonce comes first, whatever the roles are today. */
static void set_nonces(const struct negotiation *n, const struct eno_suboption *sub_a,
		       const struct eno_suboption *sub_b, struct tcpcrypt_eno_result *ret)
{
	bool same_roles = n->settings->resume->original_role == n->role;

	ret->nonces_len = append_nonce(ret->nonces, 0, same_roles ? sub_a : sub_b);
	ret->nonces_len = append_nonce(ret->nonces, ret->nonces_len, same_roles ? sub_b : sub_a);
}

/* 8547-4.5: the last valid TEP of host B's option is the negotiated one. */
static enum tcpcrypt_eno_reason pick_tep(const struct negotiation *n,
					 struct tcpcrypt_eno_result *ret)
{
	const struct eno_suboption *sub_a;

	for (size_t i = n->b->n_teps; i > 0; i--) {
		const struct eno_suboption *sub_b = &n->b->teps[i - 1];

		if (!is_valid(n, sub_b, &sub_a))
			continue;
		ret->tep_byte = sub_b->octet;
		/* 8548-3.5-13 */
		ret->resumed = sub_b->octet & ENO_V;
		ret->resumption_offered = offers_resumption(sub_a);
		if (ret->resumed)
			set_nonces(n, sub_a, sub_b, ret);
		return TCPCRYPT_ENO_OK;
	}
	/* 8547-4.6-11, 8548-3.2-3 */
	return n->a->n_teps && n->b->n_teps ? TCPCRYPT_ENO_NO_COMMON_TEP : TCPCRYPT_ENO_VACUOUS;
}

/* Section 4.8: host A's option, then host B's, as they were in the TCP headers. */
static void set_transcript(struct tcpcrypt_eno_result *ret, const uint8_t *a, size_t a_len,
			   const uint8_t *b, size_t b_len)
{
	memcpy(ret->transcript, a, a_len);
	memcpy(ret->transcript + a_len, b, b_len);
	ret->transcript_len = a_len + b_len;
}

void tcpcrypt_eno_negotiate(const struct tcpcrypt_eno_settings *settings, const uint8_t *own,
			    size_t own_len, const uint8_t *peer, size_t peer_len,
			    struct tcpcrypt_eno_result *ret)
{
	struct negotiation n = { .settings = settings };
	struct eno_option mine, theirs;

	*ret = (struct tcpcrypt_eno_result){ 0 };
	ret->reason = read_option(peer, peer_len, &theirs);
	if (ret->reason == TCPCRYPT_ENO_OK) {
		/* 8547-4.2-5: what the application may examine. */
		ret->peer_global = theirs.global;
		ret->reason = read_option(own, own_len, &mine);
	}
	if (ret->reason == TCPCRYPT_ENO_OK)
		ret->reason = check_globals(settings, mine.global, theirs.global);
	if (ret->reason != TCPCRYPT_ENO_OK)
		return;
	n.role = mine.global & TCPCRYPT_ENO_GLOBAL_B ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A;
	n.a = n.role == TCPCRYPT_ROLE_A ? &mine : &theirs;
	n.b = n.role == TCPCRYPT_ROLE_A ? &theirs : &mine;
	ret->role = n.role;
	ret->reason = pick_tep(&n, ret);
	if (ret->reason != TCPCRYPT_ENO_OK)
		return;
	if (n.role == TCPCRYPT_ROLE_A)
		set_transcript(ret, own, own_len, peer, peer_len);
	else
		set_transcript(ret, peer, peer_len, own, own_len);
}
