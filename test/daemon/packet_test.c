// SPDX-License-Identifier: BSD-2-Clause
/* The packets that answer a held SYN: right lengths, addresses and checksums. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "engine/packet.h"
#include "test/unit/unit.h"

/* SYN from 127.0.0.1:0xa001 to 127.0.0.1:0x1f90, with MSS; checksum field as before offload. */
static const uint8_t syn4[44] = {
	0x45, 0,   0,	 44,   0,    0,	   0x40, 0,    64,   6,	   0,	 0,    127,  0,	   0,
	1,    127, 0,	 0,    1,    0xa0, 0x01, 0x1f, 0x90, 0x11, 0x22, 0x33, 0x44, 0,	   0,
	0,    0,   0x60, 0x02, 0xff, 0xff, 0xfe, 0x30, 0,    0,	   2,	 4,    0xff, 0xd7,
};

static const uint8_t syn6[64] = {
	0x60, 0, 0, 0, 0,    24,   6,	 64,   0,    0,	   0,	 0,    0,    0,	   0,	 0,
	0,    0, 0, 0, 0,    0,	   0,	 1,    0,    0,	   0,	 0,    0,    0,	   0,	 0,
	0,    0, 0, 0, 0,    0,	   0,	 1,    0xa0, 0x01, 0x1f, 0x90, 0x11, 0x22, 0x33, 0x44,
	0,    0, 0, 0, 0x60, 0x02, 0xff, 0xff, 0xfe, 0x30, 0,	 0,    2,    4,	   0xff, 0xd7,
};

/* One's complement sum of everything that a checksum covers, its own field included: 0xffff. */
static uint16_t sum(const uint8_t *pseudo, size_t pseudo_len, uint32_t extra, const uint8_t *p,
		    size_t len)
{
	uint32_t s = extra;

	for (size_t i = 0; i < pseudo_len; i += 2)
		s += pseudo[i] << 8 | pseudo[i + 1];
	for (size_t i = 0; i < len; i++)
		s += i % 2 ? p[i] : p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

static void test_syn(void **state)
{
	struct packet_address to;
	uint8_t out[PACKET_MAX];
	size_t len;

	assert_int_equal(packet_make_syn(syn4, sizeof(syn4), out, &len, &to), 0);
	assert_int_equal(len, sizeof(syn4));
	assert_int_equal(sum(out + 12, 8, 6 + 24, out + 20, 24), 0xffff);
	/* All but the checksum is the program's own. */
	assert_memory_equal(out + 20, syn4 + 20, 16);
	assert_memory_equal(out + 38, syn4 + 38, 6);
	assert_memory_equal(to.addr, syn4 + 16, 4);
	assert_int_equal(packet_make_syn(syn6, sizeof(syn6), out, &len, &to), 0);
	assert_int_equal(len, sizeof(syn6));
	assert_int_equal(sum(out + 8, 32, 6 + 24, out + 40, 24), 0xffff);
}

static void test_rst(void **state)
{
	static const uint8_t ack[] = { 0x11, 0x22, 0x33, 0x45 };
	static const uint8_t ports[] = { 0x1f, 0x90, 0xa0, 0x01 };
	struct packet_address to;
	uint8_t out[PACKET_MAX];
	size_t len;

	assert_int_equal(packet_make_rst(syn4, sizeof(syn4), out, &len, &to), 0);
	assert_int_equal(len, 40);
	assert_memory_equal(out + 20, ports, 4);
	assert_memory_equal(out + 28, ack, 4);
	assert_int_equal(out[33], 0x14);
	assert_int_equal(sum(out + 12, 8, 6 + 20, out + 20, 20), 0xffff);
	assert_int_equal(packet_make_rst(syn6, sizeof(syn6), out, &len, &to), 0);
	assert_int_equal(len, 60);
	assert_int_equal(sum(out + 8, 32, 6 + 20, out + 40, 20), 0xffff);
}

static void test_icmp(void **state)
{
	static const struct {
		int error;
		uint8_t code4, code6;
	} codes[] = { { EHOSTUNREACH, 1, 3 }, { ENETUNREACH, 0, 0 }, { EACCES, 13, 1 } };
	struct packet_address to;
	uint8_t out[PACKET_MAX];
	size_t len;

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		assert_int_equal(
			packet_make_icmp(syn4, sizeof(syn4), codes[i].error, out, &len, &to), 0);
		assert_int_equal(len, 20 + 8 + sizeof(syn4));
		assert_int_equal(out[20], 3);
		assert_int_equal(out[21], codes[i].code4);
		assert_int_equal(sum(out, 0, 0, out + 20, len - 20), 0xffff);
		assert_memory_equal(out + 28, syn4, sizeof(syn4));
		assert_int_equal(
			packet_make_icmp(syn6, sizeof(syn6), codes[i].error, out, &len, &to), 0);
		assert_int_equal(out[40], 1);
		assert_int_equal(out[41], codes[i].code6);
		assert_int_equal(sum(out + 8, 32, 58 + len - 40, out + 40, len - 40), 0xffff);
	}
}

static void test_no_syn(void **state)
{
	uint8_t bytes[sizeof(syn6)], out[PACKET_MAX];
	struct packet_address to;
	size_t len;

	/* Cut anywhere before the options. */
	for (size_t i = 0; i < 40; i++)
		assert_int_equal(packet_make_rst(syn4, i, out, &len, &to), -EINVAL);
	for (size_t i = 0; i < 60; i++)
		assert_int_equal(packet_make_icmp(syn6, i, EHOSTUNREACH, out, &len, &to), -EINVAL);
	memcpy(bytes, syn4, sizeof(syn4));
	bytes[33] = 0x10; /* an ACK */
	assert_int_equal(packet_make_rst(bytes, sizeof(syn4), out, &len, &to), -EINVAL);
	memcpy(bytes, syn4, sizeof(syn4));
	bytes[0] = 0x4f; /* an IP header longer than the packet's TCP header allows */
	assert_int_equal(packet_make_syn(bytes, sizeof(syn4), out, &len, &to), -EINVAL);
	bytes[0] = 0x55; /* no IP version */
	assert_int_equal(packet_make_syn(bytes, sizeof(syn4), out, &len, &to), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_syn),
		cmocka_unit_test(test_rst),
		cmocka_unit_test(test_icmp),
		cmocka_unit_test(test_no_syn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
