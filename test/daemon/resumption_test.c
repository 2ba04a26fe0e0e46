// SPDX-License-Identifier: BSD-2-Clause
/*
 * The cache of session secrets: which one is proposed, that each is given out once whoever wants
 * it, and what makes it forget. The BPF programs' part, claims, is played by the test.
 */
#include <string.h>

#include "daemon/chain.h"
#include "test/unit/unit.h"

static struct {
	uint64_t token; /* 0: not there */
	uint32_t since; /* a SYN has claimed it */
	struct shared_half half;
	uint8_t answer[SHARED_HALF_LEN];
} claims[SHARED_RESUMPTIONS_MAX];

static size_t n_claims; /* of those that are there */
static bool full;
static bool flushing; /* a program waits for a session to be forgotten */

int window_add(struct window *w, const struct shared_half *halves,
	       struct shared_resumption *secrets, size_t n)
{
	if (full)
		return -1;
	for (size_t i = 0; i < n; i++) {
		uint32_t slot = secrets[i].slot;

		assert_int_equal(claims[slot].token, 0);
		assert_int_equal(secrets[i].token & SHARED_CLAIMED, 0);
		claims[slot].token = secrets[i].token;
		claims[slot].since = 0;
		claims[slot].half = halves[i];
		memcpy(claims[slot].answer, secrets[i].half, SHARED_HALF_LEN);
		n_claims++;
	}
	return 0;
}

void window_end(struct window *w, const struct shared_half *half, uint32_t slot)
{
	assert_int_not_equal(claims[slot].token, 0);
	assert_memory_equal(&claims[slot].half, half, sizeof(*half));
	memset(&claims[slot], 0, sizeof(claims[slot]));
	n_claims--;
}

bool window_take(struct window *w, const struct shared_half *half, uint32_t slot, uint64_t token)
{
	if (claims[slot].token != token || claims[slot].since)
		return false;
	window_end(w, half, slot);
	return true;
}

uint32_t window_claimed(const struct window *w, uint32_t slot)
{
	return claims[slot].since;
}

bool window_is_flushing(const struct window *w)
{
	return flushing;
}

/* A SYN with this half at a moment; no ticket when nobody knows it, or it is claimed. */
static struct resumption_ticket syn(const uint8_t half[SHARED_HALF_LEN], uint32_t now)
{
	for (uint32_t i = 0; i < SHARED_RESUMPTIONS_MAX; i++) {
		if (!claims[i].token || claims[i].since ||
		    memcmp(claims[i].half.bytes, half, SHARED_HALF_LEN))
			continue;
		claims[i].since = now;
		return (struct resumption_ticket){ i, claims[i].token };
	}
	return (struct resumption_ticket){};
}

/* ---- what is in the cache ---- */

static const uint8_t x25519 = TCPCRYPT_TEP_X25519, p256 = TCPCRYPT_TEP_P256;
static const uint16_t aes = TCPCRYPT_AEAD_AES_128_GCM, chacha = TCPCRYPT_AEAD_CHACHA20_POLY1305;
static const struct resumption_wanted usual = { &x25519, 1, &aes, 1 };
static const struct shared_endpoint peer = { .addr = { 1 }, .port = 80 },
				    other = { .addr = { 2 }, .port = 80 };
static struct config config;

static struct resumption *cache_new(unsigned int seconds, size_t max)
{
	struct resumption *r;

	memset(claims, 0, sizeof(claims));
	n_claims = 0;
	full = false;
	config = (struct config){ .teps = { x25519 },
				  .n_teps = 1,
				  .aeads = { aes },
				  .n_aeads = 1,
				  .resume_seconds = seconds,
				  .resume_max = max };
	r = resumption_new(NULL, tcpcrypt_crypto_openssl(), &config);
	assert_non_null(r);
	return r;
}

/* Nothing is left behind in the window. */
static void cache_free(struct resumption *r)
{
	resumption_flush(r);
	assert_int_equal(resumption_count(r), 0);
	assert_int_equal(n_claims, 0);
	resumption_free(r);
}

/* ss[1] of the n-th session. */
static struct tcpcrypt_next_secret first_secret(uint8_t n)
{
	struct tcpcrypt_next_secret s = {
		.original_role = TCPCRYPT_ROLE_A,
		.tep = x25519,
		.aead = aes,
	};

	memset(s.secret, n, sizeof(s.secret));
	assert_int_equal(tcpcrypt_session_next_secret_advance(tcpcrypt_crypto_openssl(), &s), 0);
	return s;
}

static struct tcpcrypt_next_secret secret_of(uint8_t n, unsigned int index)
{
	struct tcpcrypt_next_secret s = first_secret(n);

	while (--index)
		assert_int_equal(
			tcpcrypt_session_next_secret_advance(tcpcrypt_crypto_openssl(), &s), 0);
	return s;
}

static struct resumption_chain store(struct resumption *r, uint8_t n,
				     const struct shared_endpoint *with, double now)
{
	struct tcpcrypt_next_secret s = first_secret(n);
	struct resumption_chain c = {};

	resumption_store(r, &s, with, now, &c);
	return c;
}

/* Proposes, and expects the secret of session n with this index. */
static struct resumption_ticket expect_proposal(struct resumption *r, uint8_t n, unsigned int index)
{
	struct tcpcrypt_next_secret s = secret_of(n, index);
	struct resumption_ticket t = {};
	struct tcpcrypt_eno_resume name;
	struct resumption_chain c;

	assert_null(resumption_propose(r, &peer, &usual, 0, &name, &t, &c));
	assert_memory_equal(name.identifier, s.identifier, sizeof(s.identifier));
	assert_int_equal(name.original_role, TCPCRYPT_ROLE_A);
	assert_int_equal(name.tep, x25519);
	return t;
}

static void expect_none(struct resumption *r, const struct shared_endpoint *with,
			const struct resumption_wanted *wanted, double now, const char *reason)
{
	struct resumption_ticket t = {};
	struct tcpcrypt_eno_resume name;
	struct resumption_chain c;

	assert_string_equal(resumption_propose(r, with, wanted, now, &name, &t, &c), reason);
}

static void expect_taken(struct resumption *r, const struct resumption_ticket *t, uint8_t n,
			 unsigned int index)
{
	struct tcpcrypt_next_secret s = secret_of(n, index);
	struct tcpcrypt_resumption resume = {};
	struct resumption_chain c;

	assert_true(resumption_take(r, t, &peer, &resume, &c));
	assert_memory_equal(resume.secret, s.secret, sizeof(s.secret));
	assert_int_equal(resume.aead, aes);
	/* 8548-3.5-21, 8548-3.5-22 */
	assert_false(resumption_take(r, t, &peer, &resume, &c));
	/* 8548-3.5-17 */
	assert_memory_not_equal(r->slots[t->slot].secret.secret, s.secret, sizeof(s.secret));
}

/* The other host's SYN with its half of a secret's identifier. */
static struct resumption_ticket syn_with(uint8_t n, unsigned int index, uint32_t now)
{
	struct tcpcrypt_next_secret s = secret_of(n, index);

	return syn(s.identifier + SHARED_HALF_LEN, now);
}

/* 8548-3.5-20, 8548-3.5-22: the lowest unused one, whatever became of those before. */
static void test_lowest(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct resumption_ticket t[4];

	expect_none(r, &peer, &usual, 0, "no-session");
	store(r, 1, &peer, 0);
	expect_none(r, &other, &usual, 0, "no-session");
	for (unsigned int i = 0; i < 4; i++)
		t[i] = expect_proposal(r, 1, i + 1);
	resumption_drop(r, &t[0]);
	resumption_miss(r, &t[1]);
	expect_taken(r, &t[2], 1, 3);
	t[0] = expect_proposal(r, 1, 5);
	expect_taken(r, &t[0], 1, 5);
	resumption_drop(r, &t[3]);
	for (unsigned int i = 6; i < 200; i++) {
		t[0] = expect_proposal(r, 1, i);
		expect_taken(r, &t[0], 1, i);
	}
	cache_free(r);
}

/* 8548-3.5-24: the other host may use the same chain, and what one uses the other does not. */
static void test_both_ways(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct resumption_ticket t, u;
	struct tcpcrypt_eno_resume name;

	store(r, 1, &peer, 0);
	t = expect_proposal(r, 1, 1);
	/* 8548-3.5-21: both propose the same one: to the other's SYN it is unknown. */
	u = syn_with(1, 1, 1);
	assert_int_equal(u.token, 0);
	u = syn_with(1, 2, 1);
	assert_int_not_equal(u.token, 0);
	/* Two SYNs with the same half. */
	assert_int_equal(syn_with(1, 2, 1).token, 0);
	expect_taken(r, &t, 1, 1);
	t = expect_proposal(r, 1, 3);
	assert_true(resumption_name(r, &u, &name));
	expect_taken(r, &u, 1, 2);
	assert_false(resumption_name(r, &u, &name));
	assert_int_equal(syn_with(1, 2, 2).token, 0);
	expect_taken(r, &t, 1, 3);
	cache_free(r);
}

/* SYNs far ahead of what was used are known, the more so the more often somebody has come back. */
static void test_window(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct resumption_ticket t;

	store(r, 1, &peer, 0);
	assert_int_equal(syn_with(1, 20, 1).token, 0);
	t = syn_with(1, 8, 1);
	expect_taken(r, &t, 1, 8);
	assert_int_equal(syn_with(1, 60, 1).token, 0);
	for (unsigned int i = 9; i <= 15; i++) {
		t = syn_with(1, i, 1);
		expect_taken(r, &t, 1, i);
	}
	t = syn_with(1, 70, 1);
	expect_taken(r, &t, 1, 70);
	/* None is left out, however late: 8548-3.5-20. */
	t = expect_proposal(r, 1, 1);
	expect_taken(r, &t, 1, 1);
	t = syn_with(1, 2, 1);
	expect_taken(r, &t, 1, 2);
	/* But when too many were, there will be no more. */
	t = syn_with(1, 128, 1);
	expect_taken(r, &t, 1, 128);
	assert_int_equal(resumption_count(r), 0);
	cache_free(r);
}

/* None of the first uses waits for many secrets to be derived, and soon there are enough for many
 * connections at a time. */
static void test_growth(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct resumption_ticket t;

	store(r, 1, &peer, 0);
	for (unsigned int i = 1; i <= 8; i++) {
		size_t before = n_claims;

		t = expect_proposal(r, 1, i);
		expect_taken(r, &t, 1, i);
		assert_in_range(n_claims, before, before + WINDOW_STEP - 1);
	}
	assert_int_equal(n_claims, 64);
	for (unsigned int i = 9; i <= 40; i++)
		expect_proposal(r, 1, i);
	resumption_flush(r);
	cache_free(r);
}

/* As many at a time as are ready, and when nobody has used any of them, no more. */
static void test_busy(void **state)
{
	struct resumption_ticket t[8];
	struct resumption *r = cache_new(100, 10);

	store(r, 1, &peer, 0);
	for (unsigned int i = 0; i < 8; i++)
		t[i] = expect_proposal(r, 1, i + 1);
	expect_none(r, &peer, &usual, 0, "busy");
	store(r, 2, &peer, 0);
	resumption_drop(r, &(struct resumption_ticket){ 5, 99 });
	for (unsigned int i = 0; i < 8; i++)
		resumption_drop(r, &t[i]);
	assert_int_equal(resumption_count(r), 1);
	t[0] = expect_proposal(r, 2, 1);
	resumption_drop(r, &t[0]);
	/* 8548-3.5-28: nobody but the flow's worker knows which session is to be forgotten. */
	flushing = true;
	expect_none(r, &peer, &usual, 0, "busy");
	flushing = false;
	t[0] = expect_proposal(r, 2, 2);
	resumption_drop(r, &t[0]);
	cache_free(r);
}

/* A host that does not know the chain any more is not asked for ever. */
static void test_misses(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct resumption_ticket t;

	store(r, 1, &peer, 0);
	for (unsigned int i = 1; i <= 4; i++) {
		t = expect_proposal(r, 1, i);
		resumption_miss(r, &t);
	}
	expect_none(r, &peer, &usual, 0, "no-session");
	/* In a row: who has resumed in between has it still. */
	store(r, 2, &peer, 0);
	for (unsigned int i = 1; i <= 9; i++) {
		t = expect_proposal(r, 2, i);
		if (i % 3)
			resumption_miss(r, &t);
		else
			expect_taken(r, &t, 2, i);
	}
	assert_int_equal(resumption_count(r), 1);
	cache_free(r);
}

/* The last one used first; and the address that a host was last seen at. */
static void test_peers(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct tcpcrypt_resumption resume;
	struct resumption_ticket t;
	struct resumption_chain c;

	store(r, 1, &other, 0);
	store(r, 2, &peer, 0);
	t = syn_with(1, 1, 1);
	assert_true(resumption_take(r, &t, &peer, &resume, &c));
	t = expect_proposal(r, 1, 2);
	resumption_drop(r, &t);
	expect_none(r, &other, &usual, 0, "no-session");
	cache_free(r);
}

static void expect_at(struct resumption *r, uint16_t port, uint8_t n, unsigned int index,
		      bool missed)
{
	const struct shared_endpoint at = { .addr = { 1 }, .port = port };
	struct tcpcrypt_next_secret s = secret_of(n, index);
	struct resumption_ticket t = {};
	struct tcpcrypt_eno_resume name;
	struct resumption_chain c;

	assert_null(resumption_propose(r, &at, &usual, 0, &name, &t, &c));
	assert_memory_equal(name.identifier, s.identifier, sizeof(s.identifier));
	if (missed)
		resumption_miss(r, &t);
	else
		resumption_drop(r, &t);
}

/* Behind an address there may be several who know nothing of each other's sessions: what was missed at
 * another port is for its own only, and at each the one that was made with it comes first. */
static void test_ports(void **state)
{
	const struct shared_endpoint elsewhere = { .addr = { 1 }, .port = 5432 };
	struct resumption *r = cache_new(100, 10);

	store(r, 1, &peer, 0);
	expect_at(r, 5432, 1, 1, false);
	expect_at(r, 5432, 1, 2, true);
	expect_none(r, &elsewhere, &usual, 0, "no-session");
	store(r, 2, &elsewhere, 0);
	expect_at(r, 5432, 2, 1, false);
	expect_at(r, 80, 1, 3, false);
	/* One that was not missed may serve a third. */
	expect_at(r, 22, 2, 2, false);
	cache_free(r);
}

/* A session's TEP and AEAD must be among what the connection may use. */
static void test_wanted(void **state)
{
	struct resumption *r = cache_new(100, 10);

	store(r, 1, &peer, 0);
	expect_none(r, &peer, &(struct resumption_wanted){ &p256, 1, &aes, 1 }, 0, "no-session");
	expect_none(r, &peer, &(struct resumption_wanted){ &x25519, 1, &chacha, 1 }, 0,
		    "no-session");
	config.aeads[0] = chacha;
	resumption_configure(r, &config);
	assert_int_equal(resumption_count(r), 0);
	cache_free(r);
}

/* 8548-3.5-18: bounded in time and number; the longest unused go first. */
static void test_bounds(void **state)
{
	struct resumption *r = cache_new(100, 3);
	struct resumption_ticket t;

	for (uint8_t n = 1; n <= 4; n++)
		store(r, n, &peer, n);
	assert_int_equal(resumption_count(r), 3);
	assert_int_equal(syn_with(1, 1, 1).token, 0);
	t = syn_with(2, 1, 1);
	expect_taken(r, &t, 2, 1);
	store(r, 5, &peer, 5);
	assert_int_equal(syn_with(3, 1, 1).token, 0);
	assert_int_not_equal(syn_with(2, 2, 1).token, 0);
	/* By age, used or not. */
	expect_none(r, &peer, &usual, 200, "no-session");
	resumption_tick(r, 103);
	assert_int_equal(resumption_count(r), 2);
	resumption_tick(r, 105);
	assert_int_equal(resumption_count(r), 0);
	config.resume_max = 0;
	resumption_configure(r, &config);
	store(r, 6, &peer, 6);
	expect_none(r, &peer, &usual, 6, "off");
	resumption_tick(r, 1000); /* the claims */
	cache_free(r);
}

/* 8548-3.5-28: what is forgotten is gone, but for connections under way. */
static void test_forget(void **state)
{
	struct resumption *r = cache_new(100, 10);
	struct resumption_chain c = store(r, 1, &peer, 0);
	struct resumption_ticket t = expect_proposal(r, 1, 1), u = syn_with(1, 2, 1);

	resumption_forget(r, &c);
	resumption_forget(r, &c);
	resumption_forget(r, &(struct resumption_chain){});
	assert_int_equal(resumption_count(r), 0);
	expect_none(r, &peer, &usual, 0, "no-session");
	assert_int_equal(syn_with(1, 3, 1).token, 0);
	assert_int_equal(n_claims, 1);
	expect_taken(r, &t, 1, 1);
	expect_taken(r, &u, 1, 2);
	/* The place of a chain that is gone may be another's. */
	store(r, 2, &peer, 0);
	resumption_forget(r, &c);
	assert_int_equal(resumption_count(r), 1);
	cache_free(r);
}

/* 8548-3.5-21: a SYN that came to nothing has used its secret, and not for ever. */
static void test_claims(void **state)
{
	struct resumption *r = cache_new(10000, 10);
	struct resumption_ticket t, u;

	store(r, 1, &peer, 0);
	t = syn_with(1, 1, 1000);
	resumption_tick(r, 1100);
	assert_int_equal(n_claims, 8);
	u = expect_proposal(r, 1, 2);
	assert_int_not_equal(u.slot, t.slot);
	resumption_tick(r, 1300);
	assert_int_equal(n_claims, 6);
	assert_int_equal(syn_with(1, 1, 1300).token, 0);
	assert_false(resumption_name(r, &t, &(struct tcpcrypt_eno_resume){}));
	/* When all of them were, nothing is left of the session. */
	resumption_drop(r, &u);
	for (unsigned int i = 3; i <= 8; i++)
		syn_with(1, i, 1300);
	resumption_tick(r, 1320);
	assert_int_equal(resumption_count(r), 1);
	resumption_tick(r, 1600);
	assert_int_equal(resumption_count(r), 0);
	cache_free(r);
}

/* The sessions of an host that never comes back make room for each other, once they are many. */
static void test_share(void **state)
{
	struct resumption *r = cache_new(100, 64);

	store(r, 1, &other, 0);
	for (uint8_t n = 2; n <= 100; n++)
		store(r, n, &peer, 0);
	assert_int_equal(resumption_count(r), 64);
	assert_int_equal(syn_with(2, 1, 1).token, 0);
	assert_int_not_equal(syn_with(100, 1, 1).token, 0);
	assert_int_not_equal(syn_with(1, 1, 1).token, 0);
	/* Who has few takes the place of who was not seen for longest. */
	store(r, 101, &(struct shared_endpoint){ .addr = { 3 } }, 0);
	assert_int_equal(syn_with(1, 2, 1).token, 0);
	assert_int_equal(resumption_count(r), 64);
	resumption_tick(r, 1000); /* the claims */
	cache_free(r);
}

/* One of many other hosts. */
static struct shared_endpoint numbered(unsigned int n)
{
	struct shared_endpoint host = {};

	memcpy(host.addr + 8, &n, sizeof(n));
	return host;
}

static void store_many(struct resumption *r, unsigned int count)
{
	for (unsigned int n = 0; n < count; n++) {
		struct shared_endpoint host = numbered(n);

		store(r, 9, &host, 0);
	}
}

/* All slots in use: a window does not grow at the cost of others' sessions. */
static void test_slots(void **state)
{
	struct resumption *r = cache_new(100, CONFIG_RESUME_MAX);
	struct resumption_ticket t;

	store_many(r, CONFIG_RESUME_MAX);
	assert_int_equal(resumption_count(r), CONFIG_RESUME_MAX);
	assert_int_equal(n_claims, SHARED_RESUMPTIONS_MAX);
	store(r, 2, &peer, 0);
	for (unsigned int i = 1; i <= 20; i++) {
		t = syn_with(2, i, 1);
		expect_taken(r, &t, 2, i);
	}
	assert_int_equal(resumption_count(r), CONFIG_RESUME_MAX);
	/* And when the kernel has no room, there is just no session. */
	full = true;
	store(r, 3, &other, 0);
	expect_none(r, &other, &usual, 0, "no-session");
	cache_free(r);
}

static void use(struct resumption *r, unsigned int n)
{
	struct shared_endpoint host = numbered(n);
	struct tcpcrypt_resumption resume;
	struct tcpcrypt_eno_resume name;
	struct resumption_ticket t;
	struct resumption_chain c;

	assert_null(resumption_propose(r, &host, &usual, 0, &name, &t, &c));
	assert_true(resumption_take(r, &t, &host, &resume, &c));
}

/* As many sessions as the configuration says, with all of them in use. */
static void test_capacity(void **state)
{
	struct resumption *r = cache_new(100, CONFIG_RESUME_MAX);

	store_many(r, CONFIG_RESUME_MAX);
	for (unsigned int i = 0; i < 9; i++)
		for (unsigned int n = 0; n < CONFIG_RESUME_MAX; n++)
			use(r, n);
	assert_int_equal(resumption_count(r), CONFIG_RESUME_MAX);
	resumption_flush(r);
	/* With half as many there is room for some whole windows: theirs who came last. */
	store_many(r, CONFIG_RESUME_MAX / 2);
	for (unsigned int n = 0; n < CONFIG_RESUME_MAX / 8; n++)
		for (unsigned int i = 0; i < 8; i++)
			use(r, n);
	assert_int_equal(resumption_count(r), CONFIG_RESUME_MAX / 2);
	assert_int_equal(TAILQ_LAST(&r->by_use, chain_list)->n_ready, 64);
	use(r, 0);
	assert_in_range(TAILQ_LAST(&r->by_use, chain_list)->n_ready, WINDOW_STEP, 2 * WINDOW_STEP);
	cache_free(r);
}

/* Slots for all but one with a whole window, of session 1. */
static struct resumption *cache_full(void)
{
	struct resumption *r = cache_new(10000, CONFIG_RESUME_MAX);
	struct resumption_ticket t;

	store_many(r, CONFIG_RESUME_MAX - 8);
	store(r, 1, &peer, 0);
	for (unsigned int i = 1; i <= 8; i++) {
		t = expect_proposal(r, 1, i);
		expect_taken(r, &t, 1, i);
	}
	assert_int_equal(n_claims, SHARED_RESUMPTIONS_MAX);
	return r;
}

/* Who needs room gets it from a wide window, whose secrets come again later. */
static void test_narrow(void **state)
{
	struct resumption *r = cache_full();
	struct resumption_ticket t;

	store(r, 2, &other, 0);
	assert_int_equal(resumption_count(r), CONFIG_RESUME_MAX - 6);
	assert_int_equal(syn_with(1, 17, 1).token, 0);
	for (unsigned int i = 9; i <= 100; i++) {
		t = i % 2 ? expect_proposal(r, 1, i) : syn_with(1, i, 1);
		expect_taken(r, &t, 1, i);
	}
	cache_free(r);
}

/* 8548-3.5-21: what was used up far ahead does not come again with what is before it. */
static void test_narrow_once(void **state)
{
	struct resumption *r = cache_full();
	struct resumption_ticket t, u;

	t = syn_with(1, 70, 1);
	resumption_drop(r, &t);
	t = syn_with(1, 65, 1);
	store(r, 2, &other, 0);
	assert_int_equal(resumption_count(r), CONFIG_RESUME_MAX - 7);
	assert_int_equal(syn_with(1, 71, 1).token, 0);
	for (unsigned int i = 9; i <= 100; i++) {
		if (i == 65 || i == 70)
			continue;
		u = expect_proposal(r, 1, i);
		expect_taken(r, &u, 1, i);
		assert_int_equal(syn_with(1, 65, 1).token, 0);
		assert_int_equal(syn_with(1, 70, 1).token, 0);
	}
	expect_taken(r, &t, 1, 65);
	cache_free(r);
}

/* One that a SYN has claimed stays, and what is before it. */
static void test_narrow_claimed(void **state)
{
	struct resumption *r = cache_full();
	struct resumption_ticket t = syn_with(1, 70, 1);

	store(r, 2, &other, 0);
	assert_int_equal(syn_with(1, 71, 1).token, 0);
	expect_taken(r, &t, 1, 70);
	t = syn_with(1, 69, 1);
	expect_taken(r, &t, 1, 69);
	t = syn_with(1, 71, 1);
	expect_taken(r, &t, 1, 71);
	cache_free(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowest),	    cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_window),	    cmocka_unit_test(test_busy),
		cmocka_unit_test(test_misses),	    cmocka_unit_test(test_peers),
		cmocka_unit_test(test_ports),	    cmocka_unit_test(test_wanted),
		cmocka_unit_test(test_bounds),	    cmocka_unit_test(test_forget),
		cmocka_unit_test(test_claims),	    cmocka_unit_test(test_share),
		cmocka_unit_test(test_slots),	    cmocka_unit_test(test_growth),
		cmocka_unit_test(test_capacity),    cmocka_unit_test(test_narrow),
		cmocka_unit_test(test_narrow_once), cmocka_unit_test(test_narrow_claimed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
