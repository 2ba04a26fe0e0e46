// SPDX-License-Identifier: BSD-2-Clause
#include "engine/links.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#define NETLINK_BUFFER 16384 /* the kernel never sends more at once */

struct links {
	struct mnl_socket *nl;
	const struct links_ops *ops;
	void *data;
	bool address_gone; /* another interface may still have it */
};

static int attribute_store(const struct nlattr *attr, void *data)
{
	const struct nlattr **table = data;
	uint16_t type = mnl_attr_get_type(attr);

	if (type <= IFLA_MAX)
		table[type] = attr;
	return MNL_CB_OK;
}

static int kind_read(const struct nlattr *attr, void *data)
{
	uint16_t type = mnl_attr_get_type(attr);
	bool *vrf = data;

	if ((type == IFLA_INFO_KIND || type == IFLA_INFO_SLAVE_KIND) &&
	    mnl_attr_validate(attr, MNL_TYPE_NUL_STRING) >= 0 &&
	    !strcmp(mnl_attr_get_str(attr), "vrf"))
		*vrf = true;
	return MNL_CB_OK;
}

/* Is it a virtual routing domain, or in one? What has addresses and routes of its own is not for
 * sockets that do not belong to it, as the daemon's. */
static bool has_own_routes(const struct nlattr *info)
{
	bool vrf = false;

	if (info && mnl_attr_validate(info, MNL_TYPE_NESTED) >= 0)
		mnl_attr_parse_nested(info, kind_read, &vrf);
	return vrf;
}

static void link_report(const struct links *l, const struct nlmsghdr *nlh)
{
	const struct ifinfomsg *ifm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attrs[IFLA_MAX + 1] = {};
	struct links_interface interface = {
		.index = ifm->ifi_index,
		.name = "",
		.loopback = ifm->ifi_flags & IFF_LOOPBACK,
		.up = ifm->ifi_flags & IFF_UP,
	};

	/* Other families tell of an interface's place in a bridge. */
	if (ifm->ifi_family != AF_UNSPEC)
		return;
	mnl_attr_parse(nlh, sizeof(*ifm), attribute_store, attrs);
	if (attrs[IFLA_IFNAME] && mnl_attr_validate(attrs[IFLA_IFNAME], MNL_TYPE_NUL_STRING) >= 0)
		interface.name = mnl_attr_get_str(attrs[IFLA_IFNAME]);
	interface.present = nlh->nlmsg_type == RTM_NEWLINK && !has_own_routes(attrs[IFLA_LINKINFO]);
	l->ops->link(l->data, &interface);
}

static void address_report(struct links *l, const struct nlmsghdr *nlh)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attrs[IFLA_MAX + 1] = {};
	const struct nlattr *attr;
	uint8_t addr[16] = {};

	mnl_attr_parse(nlh, sizeof(*ifa), attribute_store, attrs);
	/* On point-to-point links IFA_ADDRESS is the other end's. */
	attr = attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS];
	if (!attr)
		return;
	if (ifa->ifa_family == AF_INET && mnl_attr_get_payload_len(attr) == 4) {
		addr[10] = addr[11] = 0xff;
		memcpy(addr + 12, mnl_attr_get_payload(attr), 4);
	} else if (ifa->ifa_family == AF_INET6 && mnl_attr_get_payload_len(attr) == 16) {
		memcpy(addr, mnl_attr_get_payload(attr), 16);
	} else {
		return;
	}
	l->address_gone |= nlh->nlmsg_type == RTM_DELADDR;
	l->ops->address(l->data, addr, nlh->nlmsg_type == RTM_NEWADDR);
}

static int message_report(const struct nlmsghdr *nlh, void *data)
{
	struct links *l = data;

	switch (nlh->nlmsg_type) {
	case RTM_NEWLINK:
	case RTM_DELLINK:
		link_report(l, nlh);
		break;
	case RTM_NEWADDR:
	case RTM_DELADDR:
		address_report(l, nlh);
		break;
	default:
		break;
	}
	return MNL_CB_OK;
}

/* Asks for all of one kind and reports them until the dump ends. */
static int dump(struct links *l, uint16_t type)
{
	char buf[NETLINK_BUFFER];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *gen;
	int more = MNL_CB_OK;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = type;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	if (mnl_socket_sendto(l->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while (more > MNL_CB_STOP) {
		ssize_t n = mnl_socket_recvfrom(l->nl, buf, sizeof(buf));

		if (n < 0)
			return -errno;
		/* Sequence number 0: notifications may come in between. */
		more = mnl_cb_run(buf, n, 0, 0, message_report, l);
	}
	return more < 0 ? -errno : 0;
}

int links_open(const struct links_ops *ops, void *data, struct links **ret)
{
	struct links *l = calloc(1, sizeof(*l));
	int error;

	if (!l)
		return -ENOMEM;
	l->ops = ops;
	l->data = data;
	l->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	error = l->nl ? 0 : -errno;
	if (!error && mnl_socket_bind(l->nl, RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
				      MNL_SOCKET_AUTOPID))
		error = -errno;
	if (!error)
		error = dump(l, RTM_GETLINK);
	if (!error)
		error = dump(l, RTM_GETADDR);
	if (error) {
		links_close(l);
		return error;
	}
	*ret = l;
	return 0;
}

void links_close(struct links *l)
{
	if (!l)
		return;
	if (l->nl)
		mnl_socket_close(l->nl);
	free(l);
}

int links_fd(const struct links *l)
{
	return mnl_socket_get_fd(l->nl);
}

/* Reads what has come. -ENOBUFS: notifications were lost. */
static int notifications_read(struct links *l)
{
	char buf[NETLINK_BUFFER];
	ssize_t n;

	for (;;) {
		n = recv(links_fd(l), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		mnl_cb_run(buf, n, 0, 0, message_report, l);
	}
}

int links_dispatch(struct links *l)
{
	int error = notifications_read(l);

	if (error == -ENOBUFS)
		error = dump(l, RTM_GETLINK);
	else if (error || !l->address_gone)
		return error;
	l->address_gone = false;
	return error ? error : dump(l, RTM_GETADDR);
}
