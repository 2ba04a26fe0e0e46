// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>

#include "engine/engine.h"

#define NETLINK_BUFFER 16384 /* the kernel never sends more at once */

/* The kernel looks sockets up by their ends and compares the cookie only then. */
struct search {
	uint32_t cookie[2];
	struct inet_diag_sockid id;
	uint8_t family;
};

static int seen(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl_nlmsg_get_payload(nlh);
	struct search *s = data;

	if (m->id.idiag_cookie[0] != s->cookie[0] || m->id.idiag_cookie[1] != s->cookie[1])
		return MNL_CB_OK;
	s->id = m->id;
	s->family = m->idiag_family;
	return MNL_CB_OK;
}

static int ask(struct mnl_socket *nl, uint16_t type, uint16_t flags,
	       const struct inet_diag_req_v2 *what, mnl_cb_t callback, void *data)
{
	char buf[NETLINK_BUFFER];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct inet_diag_req_v2 *request;
	int more = MNL_CB_OK;
	ssize_t n;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = type;
	request = mnl_nlmsg_put_extra_header(nlh, sizeof(*request));
	*request = *what;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buf, n, type, mnl_socket_get_portid(nl), callback, data);
	}
	return more < 0 ? -errno : 0;
}

static int find(struct mnl_socket *nl, uint8_t family, struct search *s)
{
	const struct inet_diag_req_v2 all = {
		.sdiag_family = family,
		.sdiag_protocol = IPPROTO_TCP,
		.idiag_states = ~0U,
	};

	return ask(nl, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, &all, seen, s);
}

int engine_destroy(uint64_t cookie)
{
	struct search s = { .cookie = { (uint32_t)cookie, cookie >> 32 } };
	struct inet_diag_req_v2 one = { .sdiag_protocol = IPPROTO_TCP };
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_SOCK_DIAG, SOCK_CLOEXEC);
	int error;

	if (!nl)
		return -errno;
	error = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ? -errno : 0;
	if (!error)
		error = find(nl, AF_INET, &s);
	if (!error && !s.family)
		error = find(nl, AF_INET6, &s);
	if (!error && !s.family)
		error = -ENOENT;
	one.sdiag_family = s.family;
	one.id = s.id;
	if (!error)
		error = ask(nl, SOCK_DESTROY, NLM_F_ACK, &one, NULL, NULL);
	mnl_socket_close(nl);
	return error;
}
