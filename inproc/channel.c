// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "inproc/helper.h"
#include "inproc/kept.h"
#include "inproc/next.h"

#define RUN_DIR "/run/tcpcrypt"

static struct sockaddr_un daemon_at = { .sun_family = AF_UNIX };
static atomic_int fd = -1;
static uint64_t cookie;
static bool polled;

/* Early: the program may change its environment. */
__attribute__((constructor(104))) static void address_note(void)
{
	/* Not for programs with more rights than who started them: there are secrets to tell. */
	const char *dir = secure_getenv("TCPCRYPT_RUN_DIR");

	if ((size_t)snprintf(daemon_at.sun_path, sizeof(daemon_at.sun_path), "%s/%s",
			     dir ? dir : RUN_DIR,
			     MESSAGE_SOCKET_NAME) >= sizeof(daemon_at.sun_path))
		daemon_at.sun_path[0] = '\0';
}

static uint64_t cookie_of(int sock)
{
	uint64_t value = 0;
	socklen_t len = sizeof(value);

	return next()->getsockopt(sock, SOL_SOCKET, SO_COOKIE, &value, &len) ? 0 : value;
}

/* Programs that become daemons close every descriptor that there may be, and open files there. */
static bool is_ours(void)
{
	return fd >= 0 && cookie && cookie_of(fd) == cookie;
}

static int gone(int error)
{
	if (is_ours())
		next()->close(fd);
	fd = -1;
	polled = false;
	return error;
}

int channel_open(void)
{
	int sock;

	if (is_ours()) {
		if (!polled)
			helper_poll(fd);
		polled = true;
		return 0;
	}
	fd = -1;
	if (!daemon_at.sun_path[0])
		return -ENAMETOOLONG;
	sock = next()->socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	sock = kept_move_up(sock);
	if (sock < 0)
		return -errno;
	if (next()->connect(sock, (struct sockaddr *)&daemon_at, sizeof(daemon_at))) {
		int error = -errno;

		next()->close(sock);
		return error == -EAGAIN ? -ECONNREFUSED : error;
	}
	cookie = cookie_of(sock);
	fd = sock;
	helper_poll(sock);
	polled = true;
	return 0;
}

int channel_send(const void *packet, size_t len)
{
	if (!is_ours())
		return gone(-EBADF);
	if (next()->send(fd, packet, len, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0)
		return 0;
	return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? -EAGAIN : gone(-errno);
}

int channel_receive(struct message_question *ret)
{
	ssize_t r;

	if (!is_ours())
		return gone(-EBADF);
	memset(ret, 0, sizeof(*ret));
	r = next()->recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return -EAGAIN;
	return r > 0 ? 1 : gone(-ECONNRESET);
}

int channel_fd(void)
{
	return fd;
}

int channel_leave(bool left)
{
	if (!is_ours() || next()->fcntl(fd, F_SETFD, left ? 0 : FD_CLOEXEC))
		return -1;
	return fd;
}

void channel_take(int sock)
{
	struct sockaddr_un peer = {};
	socklen_t len = sizeof(peer);

	if (getpeername(sock, (struct sockaddr *)&peer, &len) || peer.sun_family != AF_UNIX ||
	    strncmp(peer.sun_path, daemon_at.sun_path, sizeof(peer.sun_path)))
		return;
	next()->fcntl(sock, F_SETFD, FD_CLOEXEC);
	cookie = cookie_of(sock);
	fd = sock;
}

void channel_forked(void)
{
	gone(0);
	cookie = 0;
}
