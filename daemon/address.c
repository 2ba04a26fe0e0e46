// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t v4_prefix[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

struct shared_endpoint address_from_sockaddr(const struct sockaddr_storage *ss)
{
	struct shared_endpoint e = {};
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	switch (ss->ss_family) {
	case AF_INET:
		memcpy(&v4, ss, sizeof(v4));
		memcpy(e.addr, v4_prefix, sizeof(v4_prefix));
		memcpy(e.addr + 12, &v4.sin_addr, 4);
		e.port = ntohs(v4.sin_port);
		break;
	case AF_INET6:
		memcpy(&v6, ss, sizeof(v6));
		memcpy(e.addr, &v6.sin6_addr, 16);
		e.port = ntohs(v6.sin6_port);
		break;
	default:
		break;
	}
	return e;
}

socklen_t address_to_sockaddr(const struct shared_endpoint *e, struct sockaddr_storage *ret)
{
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->port) };
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(e->port) };

	memset(ret, 0, sizeof(*ret));
	if (address_is_v4(e)) {
		memcpy(&v4.sin_addr, e->addr + 12, 4);
		memcpy(ret, &v4, sizeof(v4));
		return sizeof(v4);
	}
	memcpy(&v6.sin6_addr, e->addr, 16);
	memcpy(ret, &v6, sizeof(v6));
	return sizeof(v6);
}

bool address_is_v4(const struct shared_endpoint *e)
{
	return !memcmp(e->addr, v4_prefix, sizeof(v4_prefix));
}

bool address_is_loopback(const struct shared_endpoint *e)
{
	if (address_is_v4(e))
		return e->addr[12] == 127;
	return !memcmp(e->addr, &in6addr_loopback, 16);
}

bool address_equal(const struct shared_endpoint *a, const struct shared_endpoint *b)
{
	return a->port == b->port && !memcmp(a->addr, b->addr, sizeof(a->addr));
}

void address_format(const struct shared_endpoint *e, char out[static ADDRESS_TEXT_MAX])
{
	char addr[INET6_ADDRSTRLEN];

	if (address_is_v4(e)) {
		inet_ntop(AF_INET, e->addr + 12, addr, sizeof(addr));
		snprintf(out, ADDRESS_TEXT_MAX, "%s:%u", addr, e->port);
		return;
	}
	inet_ntop(AF_INET6, e->addr, addr, sizeof(addr));
	snprintf(out, ADDRESS_TEXT_MAX, "[%s]:%u", addr, e->port);
}

int address_parse(const char *text, struct shared_endpoint *ret)
{
	struct shared_endpoint e = {};
	char addr[INET6_ADDRSTRLEN + 2];
	const char *colon = strrchr(text, ':');
	unsigned long port;
	size_t len;
	char *end;

	len = colon ? (size_t)(colon - text) : 0;
	if (!len || len >= sizeof(addr))
		return -EINVAL;
	memcpy(addr, text, len);
	addr[len] = '\0';
	errno = 0;
	port = strtoul(colon + 1, &end, 10);
	if (errno || end == colon + 1 || *end || port > 65535)
		return -EINVAL;
	e.port = port;
	if (addr[0] == '[' && addr[len - 1] == ']') {
		addr[len - 1] = '\0';
		if (inet_pton(AF_INET6, addr + 1, e.addr) != 1)
			return -EINVAL;
	} else {
		memcpy(e.addr, v4_prefix, sizeof(v4_prefix));
		if (inet_pton(AF_INET, addr, e.addr + 12) != 1)
			return -EINVAL;
	}
	*ret = e;
	return 0;
}

struct shared_endpoint address_local(int fd)
{
	struct sockaddr_storage ss = {};
	socklen_t len = sizeof(ss);

	getsockname(fd, (struct sockaddr *)&ss, &len);
	return address_from_sockaddr(&ss);
}

struct shared_endpoint address_peer(int fd)
{
	struct sockaddr_storage ss = {};
	socklen_t len = sizeof(ss);

	getpeername(fd, (struct sockaddr *)&ss, &len);
	return address_from_sockaddr(&ss);
}
