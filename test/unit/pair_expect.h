/* SPDX-License-Identifier: BSD-2-Clause */
/* What tests say to a pair of sessions and expect of it. */
#ifndef TEST_UNIT_PAIR_EXPECT_H
#define TEST_UNIT_PAIR_EXPECT_H

#include "test/unit/pair.h"
#include "test/unit/unit.h"

static const struct pair_params usual = { .tep = TCPCRYPT_TEP_X25519,
					  .aead = TCPCRYPT_AEAD_AES_128_GCM };
#define ALL SIZE_MAX

static inline void start(struct pair *pair, const struct pair_params *params)
{
	assert_int_equal(pair_init(pair, params), 0);
	pair_run(pair, ALL);
	assert_int_equal(pair->a.error, 0);
	assert_int_equal(pair->b.error, 0);
}

static inline struct tcpcrypt_session_info info_of(const struct pair_end *end)
{
	struct tcpcrypt_session_info info;

	tcpcrypt_session_info(end->session, &info);
	return info;
}

static inline void expect_delivered(const struct pair_end *from, const struct pair_end *to)
{
	assert_int_equal(to->error, 0);
	assert_int_equal(to->received.len, from->sent.len);
	if (from->sent.len)
		assert_memory_equal(to->received.data, from->sent.data, from->sent.len);
	assert_int_equal(to->eof, from->sent_fin);
}

static inline void say(struct pair_end *end, const char *text, unsigned int flags)
{
	assert_int_equal(pair_send(end, (const uint8_t *)text, strlen(text), flags, 0), 0);
}

#endif
