/* SPDX-License-Identifier: BSD-2-Clause */
#include "probe.h"

#include "deadline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <tcpcrypt/tcp_eno.h>

/* As in doc/control.md: no scope, and IPv4 within IPv6 as plain IPv4. */
static int format_address(const struct sockaddr_storage *address, char ret[PROBE_ADDRESS_MAX])
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	char text[INET6_ADDRSTRLEN];
	in_port_t port;
	int family = address->ss_family;
	const void *bytes;

	if (family == AF_INET) {
		memcpy(&v4, address, sizeof(v4));
		bytes = &v4.sin_addr;
		port = v4.sin_port;
	} else if (family == AF_INET6) {
		memcpy(&v6, address, sizeof(v6));
		bytes = &v6.sin6_addr;
		port = v6.sin6_port;
		if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
			bytes = &v6.sin6_addr.s6_addr[12];
			family = AF_INET;
		}
	} else {
		return -EAFNOSUPPORT;
	}
	if (!inet_ntop(family, bytes, text, sizeof(text)))
		return -errno;
	snprintf(ret, PROBE_ADDRESS_MAX, family == AF_INET ? "%s:%u" : "[%s]:%u", text,
		 ntohs(port));
	return 0;
}

/* Waits for the connect() under way and gives its outcome. */
static int finish_connect(int fd, int64_t deadline)
{
	struct pollfd polled = { .fd = fd, .events = POLLOUT };
	socklen_t len = sizeof(int);
	int error;
	int n;

	do {
		n = poll(&polled, 1, deadline_left(deadline));
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	return -error;
}

static int read_addresses(struct probe *probe)
{
	struct sockaddr_storage address;
	socklen_t len = sizeof(address);
	int error;

	if (getsockname(probe->fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	error = format_address(&address, probe->local);
	if (error)
		return error;
	len = sizeof(address);
	if (getpeername(probe->fd, (struct sockaddr *)&address, &len) < 0)
		return -errno;
	return format_address(&address, probe->peer);
}

static int connect_one(const struct addrinfo *info, int64_t deadline, struct probe *probe)
{
	int error;

	probe->fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			   IPPROTO_TCP);
	if (probe->fd < 0)
		return -errno;
	error = connect(probe->fd, info->ai_addr, info->ai_addrlen) < 0 ? -errno : 0;
	if (error == -EINPROGRESS)
		error = finish_connect(probe->fd, deadline);
	if (!error)
		error = read_addresses(probe);
	if (error)
		close(probe->fd);
	return error;
}

/* An address that does not answer must leave time for those behind it. */
static int64_t share_of(int64_t deadline, const struct addrinfo *info)
{
	int n = 0;

	for (; info; info = info->ai_next)
		n++;
	return deadline_after(deadline_left(deadline) / n);
}

int probe_open(const char *host, const char *port, int64_t deadline, struct probe *ret)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP };
	struct addrinfo *found;
	int error = -ETIMEDOUT;

	ret->fd = -1;
	ret->gai_error = getaddrinfo(host, port, &hints, &found);
	if (ret->gai_error)
		return PROBE_UNRESOLVED;
	for (const struct addrinfo *info = found; info; info = info->ai_next) {
		if (deadline_left(deadline) == 0)
			break;
		error = connect_one(info, share_of(deadline, info), ret);
		if (!error)
			break;
	}
	freeaddrinfo(found);
	return error;
}

int probe_state(const struct probe *probe)
{
	socklen_t len = sizeof(int);
	int state;

	return getsockopt(probe->fd, IPPROTO_TCP, TCP_ENO_STATE, &state, &len) ? -errno : state;
}

void probe_close(struct probe *probe)
{
	char thrown_away[4096];

	/* Closing with unread bytes would send a RST; bounded, the far end may never stop. */
	for (int i = 0; i < 256; i++) {
		if (recv(probe->fd, thrown_away, sizeof(thrown_away), 0) <= 0)
			break;
	}
	close(probe->fd);
	probe->fd = -1;
}
