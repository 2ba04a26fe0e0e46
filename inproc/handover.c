// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "inproc/next.h"
#include "inproc/table.h"
#include "inproc/vessel.h"

enum { SOCKET, MEMORY, N_FDS };

static const char mark[] = "an encrypted connection: tcpcrypt run";

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(N_FDS * sizeof(int))];
};

static struct msghdr message_of(struct iovec *iov, union control *control)
{
	return (struct msghdr){ .msg_iov = iov,
				.msg_iovlen = 1,
				.msg_control = control,
				.msg_controllen = sizeof(*control) };
}

/* Sends the descriptors from one end, which is closed then, to the other. */
static int put(const int ends[2], const int fds[static N_FDS])
{
	struct iovec iov = { (char *)(uintptr_t)mark, sizeof(mark) };
	union control control = {};
	struct msghdr message = message_of(&iov, &control);
	struct cmsghdr *c = CMSG_FIRSTHDR(&message);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(N_FDS * sizeof(int));
	memcpy(CMSG_DATA(c), fds, N_FDS * sizeof(int));
	/* What is unread at one end when it is closed makes the other's first read fail. */
	if (next()->sendmsg(ends[0], &message, MSG_NOSIGNAL) < 0 ||
	    next()->send(ends[1], mark, sizeof(mark), MSG_NOSIGNAL) < 0)
		return -errno;
	return 0;
}

int handover_pack(int fd, const struct conn *c)
{
	const int fds[N_FDS] = { [SOCKET] = fd, [MEMORY] = vessel_descriptor(c) };
	int ends[2], r;

	if (fds[MEMORY] < 0)
		return -EBADF;
	if (next()->socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends)) {
		r = -errno;
		next()->close(fds[MEMORY]);
		return r;
	}
	r = put(ends, fds);
	next()->close(fds[MEMORY]);
	next()->close(ends[0]);
	if (!r)
		return ends[1];
	next()->close(ends[1]);
	return r;
}

static bool option_is(int fd, int option, int value)
{
	int is = 0;
	socklen_t len = sizeof(is);

	return !next()->getsockopt(fd, SOL_SOCKET, option, &is, &len) && is == value;
}

/* What is in the memory is believed, so who made it must be somebody who may have the program do what
 * he likes. */
static bool is_trusted(int fd)
{
	struct ucred maker;
	socklen_t len = sizeof(maker);

	return !next()->getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &len) &&
	       (maker.uid == 0 || maker.uid == geteuid());
}

/* Takes what was put, as far as there is room for descriptors. False: something else was. */
static bool take(int fd, int ret_fds[static N_FDS])
{
	char text[sizeof(mark)];
	struct iovec iov = { text, sizeof(text) };
	union control control;
	struct msghdr message = message_of(&iov, &control);
	struct cmsghdr *c;
	ssize_t n;

	n = next()->recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_PEEK);
	if (n < 0 && errno == ECONNRESET)
		n = next()->recvmsg(fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | MSG_PEEK);
	c = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
		memcpy(ret_fds, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
	return n == sizeof(mark) && !memcmp(text, mark, sizeof(mark));
}

/* The connection, once the socket is where it belongs. */
static struct conn *place(int fd, const int fds[static N_FDS])
{
	struct arena *arena = vessel_open(fds[MEMORY]);
	struct conn *c = arena ? vessel_conn(arena) : NULL;

	if (!c)
		return NULL;
	if (next()->dup3(fds[SOCKET], fd, O_CLOEXEC) == fd)
		return c;
	vessel_unuse(c);
	return NULL;
}

/* The program shall not read what was put in there. */
static void reset(int fd)
{
	struct conn *c = conn_new();

	if (!c || conn_lock(c))
		return;
	conn_broken(c, ECONNRESET);
	table_enter(fd, c);
	conn_unlock(c);
}

struct conn *handover_open(int fd)
{
	int fds[N_FDS] = { -1, -1 };
	struct conn *c = NULL;
	bool is;

	if (!option_is(fd, SO_DOMAIN, AF_UNIX) || !option_is(fd, SO_TYPE, SOCK_SEQPACKET) ||
	    !is_trusted(fd))
		return NULL;
	is = take(fd, fds);
	if (is)
		c = place(fd, fds);
	else if (fds[MEMORY] >= 0)
		next()->close(fds[MEMORY]);
	if (fds[SOCKET] >= 0)
		next()->close(fds[SOCKET]);
	if (is && !c)
		reset(fd);
	return c;
}
