// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/visitor.h"

#include <sys/socket.h>
#include <unistd.h>

#include "bpf/shared.h"

void visitor_read(int fd, struct visitor *ret)
{
	struct ucred peer = { .uid = SHARED_UID_UNKNOWN };
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len))
		peer.uid = SHARED_UID_UNKNOWN;
	ret->uid = peer.uid;
	ret->trusted = peer.uid == 0 || peer.uid == geteuid();
}

bool visitor_may_see(const struct visitor *v, const struct record *r)
{
	return v->trusted || (r->uid == v->uid && v->uid != SHARED_UID_UNKNOWN);
}

bool visitor_has_room(const struct visitor *v, size_t n, size_t n_others, size_t n_own)
{
	if (n >= VISITORS_MAX)
		return false;
	return v->trusted || (n_others < VISITORS_OTHERS_MAX && n_own < VISITORS_USER_MAX);
}
