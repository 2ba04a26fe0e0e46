// SPDX-License-Identifier: BSD-2-Clause
#include "engine/qdisc.h"

#include <errno.h>
#include <time.h>

#include <libmnl/libmnl.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#define PRIORITY_NONE UINT32_MAX

#define NETLINK_BUFFER 16384 /* the kernel never sends more at once */

static int filter_seen(const struct nlmsghdr *nlh, void *data)
{
	const struct tcmsg *tcm = mnl_nlmsg_get_payload(nlh);
	uint32_t *first = data;
	uint32_t priority;

	if (nlh->nlmsg_type != RTM_NEWTFILTER)
		return MNL_CB_OK;
	priority = TC_H_MAJ(tcm->tcm_info) >> 16;
	if (priority < *first)
		*first = priority;
	return MNL_CB_OK;
}

/* Dumps the filters of one side; lowers *first to their first priority. */
static int side_dump(struct mnl_socket *nl, int ifindex, uint32_t parent, uint32_t *first)
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
		more = mnl_cb_run(buf, n, seq, mnl_socket_get_portid(nl), filter_seen, first);
	}
	return more < 0 ? -errno : 0;
}

/* The first priority on the sides of a clsact qdisc; PRIORITY_NONE: there is no filter. */
static int first_priority(int ifindex, bool ingress, bool egress, uint32_t *ret)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int error;

	*ret = PRIORITY_NONE;
	if (!nl)
		return -errno;
	error = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) ? -errno : 0;
	if (!error && ingress)
		error = side_dump(nl, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS), ret);
	if (!error && egress)
		error = side_dump(nl, ifindex, TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_EGRESS), ret);
	mnl_socket_close(nl);
	return error;
}

int qdisc_clsact_is_empty(int ifindex)
{
	uint32_t first;
	int error = first_priority(ifindex, true, true, &first);

	return error ? error : first == PRIORITY_NONE;
}

int qdisc_first_filter(int ifindex, bool egress, uint32_t *ret_priority)
{
	int error = first_priority(ifindex, !egress, egress, ret_priority);

	return error ? error : *ret_priority < QDISC_PRIORITY;
}
