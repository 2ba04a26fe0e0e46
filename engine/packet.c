// SPDX-License-Identifier: BSD-2-Clause
#include "engine/packet.h"

#include <errno.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#define IPV4_LEN	  20
#define IPV6_LEN	  40
#define TCP_LEN		  20
#define ICMP_LEN	  8
#define TCP_FLAGS_AT	  13
#define TCP_CHECKSUM_AT	  16
#define TCP_FLAG_SYN	  0x02
#define TCP_FLAG_RST_ACK  0x14
#define DEFAULT_HOP_LIMIT 64

/* A SYN taken apart; pointers into the caller's bytes. */
struct syn {
	int family;
	const uint8_t *src, *dst; /* addresses */
	size_t addr_len;
	const uint8_t *tcp;
	size_t tcp_len;
};

static uint16_t get16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static void put16(uint8_t *p, uint16_t v)
{
	p[0] = v >> 8;
	p[1] = v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static int syn_read(const uint8_t *bytes, size_t len, struct syn *ret)
{
	size_t ip_len;

	if (len < IPV4_LEN)
		return -EINVAL;
	switch (bytes[0] >> 4) {
	case 4:
		ip_len = (bytes[0] & 0xf) * 4;
		*ret = (struct syn){ AF_INET, bytes + 12, bytes + 16, 4, NULL, 0 };
		break;
	case 6:
		ip_len = IPV6_LEN;
		*ret = (struct syn){ AF_INET6, bytes + 8, bytes + 24, 16, NULL, 0 };
		break;
	default:
		return -EINVAL;
	}
	if (ip_len < IPV4_LEN || len < ip_len + TCP_LEN || len > PACKET_MAX)
		return -EINVAL;
	ret->tcp = bytes + ip_len;
	ret->tcp_len = len - ip_len;
	return ret->tcp[TCP_FLAGS_AT] & TCP_FLAG_SYN ? 0 : -EINVAL;
}

static uint32_t sum_add(uint32_t sum, const uint8_t *p, size_t len)
{
	for (; len > 1; p += 2, len -= 2)
		sum += get16(p);
	return len ? sum + (p[0] << 8) : sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* The checksum of a transport header behind a pseudo header (RFC 9293, RFC 8200). */
static uint16_t transport_sum(const uint8_t *src, const uint8_t *dst, size_t addr_len,
			      uint8_t protocol, const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	sum = sum_add(sum, src, addr_len);
	sum = sum_add(sum, dst, addr_len);
	return sum_fold(sum_add(sum + protocol + len, p, len));
}

/* Writes an IP header for len bytes that follow it; gives where they start. The kernel fills
 * in IPv4's checksum. */
static uint8_t *ip_header(uint8_t *out, int family, uint8_t protocol, const uint8_t *src,
			  const uint8_t *dst, size_t len)
{
	if (family == AF_INET) {
		memset(out, 0, IPV4_LEN);
		out[0] = 0x45;
		put16(out + 2, IPV4_LEN + len);
		out[8] = DEFAULT_HOP_LIMIT;
		out[9] = protocol;
		memcpy(out + 12, src, 4);
		memcpy(out + 16, dst, 4);
		return out + IPV4_LEN;
	}
	memset(out, 0, IPV6_LEN);
	out[0] = 0x60;
	put16(out + 4, len);
	out[6] = protocol;
	out[7] = DEFAULT_HOP_LIMIT;
	memcpy(out + 8, src, 16);
	memcpy(out + 24, dst, 16);
	return out + IPV6_LEN;
}

static void address_set(struct packet_address *a, const struct syn *s, const uint8_t *addr)
{
	memset(a, 0, sizeof(*a));
	a->family = s->family;
	memcpy(a->addr, addr, s->addr_len);
}

int packet_make_syn(const uint8_t *syn, size_t len, uint8_t *out, size_t *ret_len,
		    struct packet_address *ret_to)
{
	struct syn s;
	uint8_t *tcp;

	if (syn_read(syn, len, &s))
		return -EINVAL;
	tcp = ip_header(out, s.family, IPPROTO_TCP, s.src, s.dst, s.tcp_len);
	memcpy(tcp, s.tcp, s.tcp_len);
	/* It was taken before checksum offload: only the pseudo header's sum is in it. */
	put16(tcp + TCP_CHECKSUM_AT, 0);
	put16(tcp + TCP_CHECKSUM_AT,
	      transport_sum(s.src, s.dst, s.addr_len, IPPROTO_TCP, tcp, s.tcp_len));
	address_set(ret_to, &s, s.dst);
	*ret_len = tcp + s.tcp_len - out;
	return 0;
}

int packet_make_rst(const uint8_t *syn, size_t len, uint8_t *out, size_t *ret_len,
		    struct packet_address *ret_to)
{
	struct syn s;
	uint8_t *tcp;

	if (syn_read(syn, len, &s))
		return -EINVAL;
	tcp = ip_header(out, s.family, IPPROTO_TCP, s.dst, s.src, TCP_LEN);
	memset(tcp, 0, TCP_LEN);
	memcpy(tcp, s.tcp + 2, 2);
	memcpy(tcp + 2, s.tcp, 2);
	put32(tcp + 8, get32(s.tcp + 4) + 1);
	tcp[12] = TCP_LEN / 4 << 4;
	tcp[TCP_FLAGS_AT] = TCP_FLAG_RST_ACK;
	put16(tcp + TCP_CHECKSUM_AT,
	      transport_sum(s.dst, s.src, s.addr_len, IPPROTO_TCP, tcp, TCP_LEN));
	address_set(ret_to, &s, s.src);
	*ret_len = tcp + TCP_LEN - out;
	return 0;
}

static uint8_t icmp_code(int family, int error)
{
	bool v4 = family == AF_INET;

	switch (error) {
	case ENETUNREACH:
		return v4 ? ICMP_NET_UNREACH : ICMP6_DST_UNREACH_NOROUTE;
	case EACCES:
		return v4 ? ICMP_PKT_FILTERED : ICMP6_DST_UNREACH_ADMIN;
	default:
		return v4 ? ICMP_HOST_UNREACH : ICMP6_DST_UNREACH_ADDR;
	}
}

int packet_make_icmp(const uint8_t *syn, size_t len, int error, uint8_t *out, size_t *ret_len,
		     struct packet_address *ret_to)
{
	size_t icmp_len = ICMP_LEN + len;
	struct syn s;
	uint8_t *icmp;
	bool v4;

	if (syn_read(syn, len, &s) || IPV6_LEN + icmp_len > PACKET_MAX)
		return -EINVAL;
	v4 = s.family == AF_INET;
	icmp = ip_header(out, s.family, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6, s.dst, s.src, icmp_len);
	memset(icmp, 0, ICMP_LEN);
	icmp[0] = v4 ? ICMP_DEST_UNREACH : ICMP6_DST_UNREACH;
	icmp[1] = icmp_code(s.family, error);
	memcpy(icmp + ICMP_LEN, syn, len);
	put16(icmp + 2,
	      v4 ? sum_fold(sum_add(0, icmp, icmp_len))
		 : transport_sum(s.dst, s.src, s.addr_len, IPPROTO_ICMPV6, icmp, icmp_len));
	address_set(ret_to, &s, s.src);
	*ret_len = icmp + icmp_len - out;
	return 0;
}
