// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/rights.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>

#include "inproc/boarding.h"
#include "inproc/calls.h"
#include "inproc/handover.h"
#include "inproc/helper.h"
#include "inproc/next.h"
#include "inproc/vessel.h"

typedef void visitor(void *data, unsigned char *at);

/* Each place in the control messages where a descriptor is, whatever lengths the program has given. */
static void each(struct msghdr *message, visitor *visit, void *data)
{
	const uint8_t *end = (uint8_t *)message->msg_control + message->msg_controllen;
	struct cmsghdr *c;
	size_t len;

	if (!message->msg_controllen)
		return;
	for (c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		len = end - (uint8_t *)c;
		if (c->cmsg_len < len)
			len = c->cmsg_len;
		for (size_t at = CMSG_LEN(0); at + sizeof(int) <= len; at += sizeof(int))
			visit(data, (uint8_t *)c + at);
	}
}

static int fd_at(const unsigned char *at)
{
	int fd;

	memcpy(&fd, at, sizeof(fd));
	return fd;
}

static void look(void *data, unsigned char *at)
{
	bool *ours = data;
	const int fd = fd_at(at);

	if (table_get(fd))
		*ours = true;
	else
		table_shared(fd);
}

bool rights_passes(const struct msghdr *message)
{
	struct msghdr copy = *message;
	bool ours = false;

	each(&copy, look, &ours);
	return ours;
}

struct packing {
	struct rights *rights;
	int error;
};

/* What stands for fd, whose connection is c, locked; a reference goes along. Or a negative errno
 * value. */
static int pack(struct rights *rights, int fd, struct conn *c)
{
	const int made = handover_pack(fd, c);

	if (made < 0)
		return made;
	rights->passed[rights->n].c = c;
	rights->passed[rights->n++].pack = made;
	vessel_use(c);
	conn_ref(c, 0);
	return made;
}

static void replace_now(struct packing *p, unsigned char *at)
{
	const int fd = fd_at(at);
	struct conn *c = boarding_find(fd), *moved;
	int made;

	if (!c) {
		/* It is plain, or another thread is closing it: that is not to be sent as it is. */
		p->error = table_get(fd) ? -EBADF : 0;
		return;
	}
	moved = boarding_ensure(c, fd);
	made = moved && p->rights->n < RIGHTS_MAX ? pack(p->rights, fd, moved) : -EOPNOTSUPP;
	conn_unlock(moved ? moved : c);
	if (made < 0)
		p->error = -EOPNOTSUPP;
	else
		memcpy(at, &made, sizeof(made));
}

static void replace(void *data, unsigned char *at)
{
	struct packing *p = data;
	struct table_close moving;
	struct conn *c;

	if (p->error || !table_get(fd_at(at)))
		return;
	/* It waits for keys; who forks shall not wait as well. */
	c = boarding_find(fd_at(at));
	if (c)
		conn_unlock(c);
	/* No fork comes in between: a child has all of a connection, where it was or where it is. */
	table_close_begin(&moving);
	replace_now(p, at);
	table_close_end(&moving);
}

int rights_begin(struct rights *rights, const struct msghdr *message)
{
	struct packing packing = { .rights = rights };

	rights->message = *message;
	rights->n = 0;
	if (message->msg_controllen > sizeof(rights->control))
		return -EOPNOTSUPP;
	memcpy(rights->control, message->msg_control, message->msg_controllen);
	rights->message.msg_control = rights->control;
	each(&rights->message, replace, &packing);
	return packing.error;
}

void rights_end(struct rights *rights, bool sent)
{
	const int saved = errno;

	for (size_t i = 0; i < rights->n; i++) {
		struct conn *c = rights->passed[i].c;

		next()->close(rights->passed[i].pack);
		if (!sent && !conn_lock_still(c)) {
			conn_unref(c, 0);
			conn_unlock_release(c);
		}
		vessel_unuse(c);
	}
	errno = saved;
}

/* One that was only looked at comes again, and is another descriptor then. */
static void take(int fd, struct conn *c, bool inherits, bool looks)
{
	table_adopt(fd, c, inherits);
	if (conn_lock_still(c))
		return;
	if (looks)
		conn_ref(c, lives_own());
	else
		conn_handed(c);
	if (boarding_is_busy(c))
		helper_watch(c, fd);
	conn_unlock(c);
	atomic_store(&conn_unknown, true);
}

static void receive_now(int fd, bool looks)
{
	struct conn *c;
	int mode;

	/* Its number may be that of another one that was closed behind our back. */
	calls_new(fd);
	table_shared(fd);
	mode = next()->fcntl(fd, F_GETFD);
	c = table_holds(fd) ? handover_open(fd) : NULL;
	if (!c)
		return;
	take(fd, c, !(mode & FD_CLOEXEC), looks);
	vessel_unuse(c);
}

static void receive(void *data, unsigned char *at)
{
	const int *flags = data;
	struct table_close entering;

	table_close_begin(&entering);
	receive_now(fd_at(at), *flags & MSG_PEEK);
	table_close_end(&entering);
}

void rights_received(struct msghdr *message, int flags)
{
	const int saved = errno;

	each(message, receive, &flags);
	errno = saved;
}
