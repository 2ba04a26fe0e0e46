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

static int raw_socket(int family, uint32_t mark)
{
	/* IPPROTO_RAW: the header is ours. */
	int fd = socket(family, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_RAW);

	if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark))) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

int inject_open(struct inject *in, uint32_t mark)
{
	in->fd4 = raw_socket(AF_INET, mark);
	if (in->fd4 < 0)
		return -errno;
	in->fd6 = raw_socket(AF_INET6, mark);
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
