// SPDX-License-Identifier: BSD-2-Clause
#include "engine/qdisc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#define NETLINK_BUFFER 16384 /* the kernel never sends more at once */

static int filter_seen(const struct nlmsghdr *nlh, void *data)
{
	bool *any = data;

	if (nlh->nlmsg_type == RTM_NEWTFILTER)
		*any = true;
	return MNL_CB_OK;
}

/* Dumps the filters of one side. */
static int side_has_filters(struct mnl_socket *nl, int ifindex, uint32_t parent, bool *ret_any)
{
	char buf[NETLINK_BUFFER];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	uint32_t seq = parent ^ time(NULL);
	struct tcmsg *tcm;
	ssize_t n;
	int more = MNL_CB_OK;

	nlh->nlmsg_type = RTM_GETTFILTER;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = seq;
	tcm = mnl_nlmsg_put_extra_header(nlh, sizeof(*tcm));
	tcm->tcm_ifindex = ifindex;
	tcm->tcm_parent = parent;
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		more = mnl_cb_run(buf, n, seq, mnl_socket_get_portid(nl), filter_seen, ret_any);
	}
	return more < 0 ? -errno : 0;
}

int qdisc_clsact_is_empty(int ifindex)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	bool any = false;
	int error;

	if (!nl)
		return -errno;
	error = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ? -errno : 0;
	if (!error)
		error = side_has_filters(nl, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS),
					 &any);
	if (!error)
		error = side_has_filters(nl, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS),
					 &any);
	mnl_socket_close(nl);
	return error ? error : !any;
}
