/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a held SYN: what is made of them fits, and its checksum is right. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "engine/packet.h"
#include "fuzz/fuzz.h"

static uint32_t sum(const uint8_t *p, size_t len)
{
	uint32_t total = 0;

	for (size_t i = 0; i < len; i++)
		total += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return total;
}

/* A packet that adds up to all ones, its pseudo header included, has the right checksum. */
static void check(const uint8_t *packet, size_t len, int family)
{
	size_t ip_len = family == AF_INET ? 20 : 40;
	size_t addresses = family == AF_INET ? 12 : 8;
	uint8_t protocol = packet[family == AF_INET ? 9 : 6];
	uint32_t total;

	FUZZ_EXPECT(len > ip_len && len <= PACKET_MAX);
	total = sum(packet + ip_len, len - ip_len);
	if (protocol != IPPROTO_ICMP)
		total += sum(packet + addresses, ip_len - addresses) + protocol +
			 (uint32_t)(len - ip_len);
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	FUZZ_EXPECT(total == 0xffff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const int errors[] = { EHOSTUNREACH, ENETUNREACH, EACCES };
	struct packet_address to;
	uint8_t out[PACKET_MAX];
	size_t out_len;
	int family;

	if (packet_make_syn(data, len, out, &out_len, &to) != 0) {
		FUZZ_EXPECT(packet_make_rst(data, len, out, &out_len, &to) == -EINVAL);
		FUZZ_EXPECT(packet_make_icmp(data, len, EACCES, out, &out_len, &to) == -EINVAL);
		return 0;
	}
	family = to.family;
	check(out, out_len, family);
	FUZZ_EXPECT(packet_make_rst(data, len, out, &out_len, &to) == 0);
	check(out, out_len, to.family);
	/* The sender of the SYN is who is told. */
	FUZZ_EXPECT(to.family == family && !memcmp(to.addr, data + (family == AF_INET ? 12 : 8),
						   family == AF_INET ? 4 : 16));
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++)
		if (packet_make_icmp(data, len, errors[i], out, &out_len, &to) == 0)
			check(out, out_len, to.family);
	return 0;
}
