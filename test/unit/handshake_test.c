/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/handshake.h"
#include "test/unit/unit.h"
#include "test/unit/vectors.h"

static enum handshake_outcome outcome_of(const char *text)
{
	if (strcmp(text, "enabled") == 0)
		return HANDSHAKE_IS_ENABLED;
	return strcmp(text, "disabled") == 0 ? HANDSHAKE_IS_DISABLED : HANDSHAKE_IS_PENDING;
}

/* 8547-4.6-1, 8547-4.6-2, 8547-4.6-3, 8547-4.6-7 */
static void run_handshake(const json_t *c)
{
	const char *at = vectors_text(c, "at");
	const json_t *segment;
	struct handshake h;
	size_t i;

	h = strcmp(at, "active") == 0 ? handshake_active() : handshake_passive();
	json_array_foreach(vectors_member(c, "received"), i, segment)
	{
		const char *flags = vectors_text(segment, "flags");

		handshake_step(&h, handshake_event_of(strchr(flags, 'S'), strchr(flags, 'A'),
						      vectors_bool(segment, "eno")));
		assert_int_equal(handshake_outcome(&h),
				 outcome_of(vectors_text(segment, "then_state")));
		assert_int_equal(handshake_carries_eno(&h),
				 vectors_bool(segment, "then_every_segment_carries_eno"));
	}
	assert_int_equal(handshake_outcome(&h), outcome_of(vectors_text(c, "expected")));
}

static void test_vectors(void **state)
{
	vectors_run("eno_negotiation.json", "handshakes", run_handshake);
}

/* Every state x every event: what was decided stays decided, and ENO goes only where it may. */
static void test_every_state_and_event(void **state)
{
	for (int s = 0; s < HANDSHAKE_N_STATES; s++) {
		for (int e = 0; e < HANDSHAKE_N_EVENTS; e++) {
			struct handshake before = { (enum handshake_state)s }, h = before;
			enum handshake_outcome was = handshake_outcome(&before);

			handshake_step(&h, (enum handshake_event)e);
			assert_in_range(h.state, 0, HANDSHAKE_N_STATES - 1);
			if (was != HANDSHAKE_IS_PENDING)
				assert_int_equal(handshake_outcome(&h), was);
			/* 8547-4.6-6, too: the SYN-ACK of a simultaneous open. */
			if (handshake_outcome(&h) == HANDSHAKE_IS_DISABLED)
				assert_false(handshake_carries_eno(&h));
			/* Whoever stopped sending ENO does not start again. */
			if (s == HANDSHAKE_ENABLED)
				assert_int_equal(h.state, HANDSHAKE_ENABLED);
			/* Only an ACK with ENO enables. */
			if (was == HANDSHAKE_IS_PENDING &&
			    handshake_outcome(&h) == HANDSHAKE_IS_ENABLED)
				assert_true(e == HANDSHAKE_SYN_ACK_ENO || e == HANDSHAKE_ACK_ENO);
			/* A pending handshake that misses ENO once is over. */
			if (was == HANDSHAKE_IS_PENDING &&
			    (e == HANDSHAKE_SYN_PLAIN || e == HANDSHAKE_SYN_ACK_PLAIN ||
			     e == HANDSHAKE_ACK_PLAIN))
				assert_int_equal(h.state, HANDSHAKE_DISABLED);
		}
	}
}

/* 8547-4.6-5: only the active opener, and only before anything came. */
static void test_withdraw(void **state)
{
	struct handshake active = handshake_active(), passive = handshake_passive();

	assert_true(handshake_carries_eno(&active));
	handshake_step(&active, HANDSHAKE_WITHDRAW);
	assert_int_equal(handshake_outcome(&active), HANDSHAKE_IS_DISABLED);
	handshake_step(&passive, HANDSHAKE_SYN_ENO);
	handshake_step(&passive, HANDSHAKE_WITHDRAW);
	assert_int_equal(handshake_outcome(&passive), HANDSHAKE_IS_PENDING);
	active = handshake_active();
	handshake_step(&active, HANDSHAKE_SYN_ACK_ENO);
	handshake_step(&active, HANDSHAKE_WITHDRAW);
	assert_int_equal(handshake_outcome(&active), HANDSHAKE_IS_ENABLED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_every_state_and_event),
		cmocka_unit_test(test_withdraw),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
