// SPDX-License-Identifier: BSD-2-Clause
#include "engine/inject.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/packet.h"

void inject_init(struct inject *in)
{
	in->fd4 = -1;
	in->fd6 = -1;
}

int inject_open(struct inject *in)
{
	/* IPPROTO_RAW: the header is ours. */
	in->fd4 = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	if (in->fd4 < 0)
		return -errno;
	in->fd6 = socket(AF_INET6, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);
	return in->fd6 < 0 && errno != EAFNOSUPPORT ? -errno : 0;
}

void inject_close(struct inject *in)
{
	if (in->fd4 >= 0)
		close(in->fd4);
	if (in->fd6 >= 0)
		close(in->fd6);
	inject_init(in);
}

static int packet_send(const struct inject *in, const uint8_t *packet, size_t len,
		       const struct packet_address *to)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };
	ssize_t n;

	memcpy(&v4.sin_addr, to->addr, sizeof(v4.sin_addr));
	memcpy(&v6.sin6_addr, to->addr, sizeof(v6.sin6_addr));
	if (to->family == AF_INET)
		n = sendto(in->fd4, packet, len, 0, (struct sockaddr *)&v4, sizeof(v4));
	else
		n = sendto(in->fd6, packet, len, 0, (struct sockaddr *)&v6, sizeof(v6));
	return n < 0 ? -errno : 0;
}

int inject_syn(const struct inject *in, const uint8_t *syn, size_t len)
{
	struct packet_address to;
	uint8_t packet[PACKET_MAX];
	int error = packet_make_syn(syn, len, packet, &len, &to);

	return error ? error : packet_send(in, packet, len, &to);
}

int inject_rst(const struct inject *in, const uint8_t *syn, size_t len)
{
	struct packet_address to;
	uint8_t packet[PACKET_MAX];
	int error = packet_make_rst(syn, len, packet, &len, &to);

	return error ? error : packet_send(in, packet, len, &to);
}

int inject_icmp(const struct inject *in, const uint8_t *syn, size_t len, int icmp_error)
{
	struct packet_address to;
	uint8_t packet[PACKET_MAX];
	int error = packet_make_icmp(syn, len, icmp_error, packet, &len, &to);

	return error ? error : packet_send(in, packet, len, &to);
}
