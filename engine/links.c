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
#define CATCH_UP_TRIES 16

/* What has been reported as present: an address each, or an interface's index. */
struct set {
	uint8_t (*keys)[16];
	size_t n, size;
	bool incomplete; /* for want of memory */
};

struct links {
	struct mnl_socket *nl;
	const struct links_ops *ops;
	void *data;
	bool address_gone; /* another interface may still have it */
	bool lost;	   /* notifications were, or a dump met changes: another one tells */
	struct set addresses, interfaces;
	struct set found;	 /* by the dump under way, */
	const struct set *dumps; /* which is of these; NULL: of none */
};

static size_t set_find(const struct set *s, const uint8_t key[16])
{
	size_t i = 0;

	while (i < s->n && memcmp(s->keys[i], key, sizeof(s->keys[i])))
		i++;
	return i;
}

static void set_add(struct set *s, const uint8_t key[16])
{
	size_t size = s->size ? 2 * s->size : 64;
	void *grown;

	if (set_find(s, key) < s->n)
		return;
	if (s->n == s->size) {
		grown = reallocarray(s->keys, size, sizeof(*s->keys));
		if (!grown) {
			s->incomplete = true;
			return;
		}
		s->keys = grown;
		s->size = size;
	}
	memcpy(s->keys[s->n++], key, sizeof(*s->keys));
}

static void set_remove(struct set *s, const uint8_t key[16])
{
	size_t i = set_find(s, key);

	if (i < s->n)
		memmove(s->keys[i], s->keys[--s->n], sizeof(*s->keys));
}

static void note(struct links *l, struct set *s, const uint8_t key[16], bool present)
{
	void (*change)(struct set *, const uint8_t key[16]) = present ? set_add : set_remove;

	change(s, key);
	if (s == l->dumps)
		change(&l->found, key);
}

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

static void interface_report(struct links *l, const struct links_interface *interface)
{
	uint8_t key[16] = {};

	memcpy(key, &interface->index, sizeof(interface->index));
	note(l, &l->interfaces, key, interface->present);
	l->ops->link(l->data, interface);
}

static void link_report(struct links *l, const struct nlmsghdr *nlh)
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
	interface_report(l, &interface);
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
	note(l, &l->addresses, addr, nlh->nlmsg_type == RTM_NEWADDR);
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

/* mnl_cb_run() would not go on behind what says that there were changes meanwhile. */
static void interruptions_note(struct links *l, void *buf, int n)
{
	for (struct nlmsghdr *nlh = buf; mnl_nlmsg_ok(nlh, n); nlh = mnl_nlmsg_next(nlh, &n)) {
		l->lost |= nlh->nlmsg_flags & NLM_F_DUMP_INTR;
		nlh->nlmsg_flags &= ~NLM_F_DUMP_INTR;
	}
}

/* Asks for all of one kind and reports them until the dump ends, whatever is lost meanwhile: nothing of
 * it may be left for the next one. */
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

		if (n < 0 && errno != ENOBUFS)
			return -errno;
		if (n < 0) {
			l->lost = true;
			continue;
		}
		interruptions_note(l, buf, n);
		/* Sequence number 0: notifications may come in between. */
		more = mnl_cb_run(buf, n, 0, 0, message_report, l);
	}
	return more < 0 ? -errno : 0;
}

static void address_is_gone(struct links *l, const uint8_t key[16])
{
	note(l, &l->addresses, key, false);
	l->ops->address(l->data, key, false);
}

static void interface_is_gone(struct links *l, const uint8_t key[16])
{
	struct links_interface interface = { .name = "" };

	memcpy(&interface.index, key, sizeof(interface.index));
	interface_report(l, &interface);
}

/* What was there and is not any more, nobody may have told. */
static int dump_again(struct links *l, uint16_t type, const struct set *of,
		      void (*gone)(struct links *l, const uint8_t key[16]))
{
	uint8_t key[16];
	int error;

	l->dumps = of;
	l->found.n = 0;
	l->found.incomplete = false;
	error = dump(l, type);
	l->dumps = NULL;
	for (size_t i = of->n; !error && !l->found.incomplete && i--;) {
		memcpy(key, of->keys[i], sizeof(key));
		if (set_find(&l->found, key) == l->found.n)
			gone(l, key);
	}
	return error;
}

/* Until nothing is lost, or it has been tried so often that more is to come in any case. */
static int catch_up(struct links *l)
{
	int error = 0;

	for (int i = 0; !error && l->lost && i < CATCH_UP_TRIES; i++) {
		l->lost = l->address_gone = false;
		error = dump_again(l, RTM_GETLINK, &l->interfaces, interface_is_gone);
		if (!error)
			error = dump_again(l, RTM_GETADDR, &l->addresses, address_is_gone);
	}
	return error;
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
	if (!error)
		error = catch_up(l);
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
	free(l->addresses.keys);
	free(l->interfaces.keys);
	free(l->found.keys);
	free(l);
}

bool links_has_address(const struct links *l, const uint8_t addr[16])
{
	return l->addresses.incomplete || set_find(&l->addresses, addr) < l->addresses.n;
}

int links_fd(const struct links *l)
{
	return mnl_socket_get_fd(l->nl);
}

/* Reads what has come. */
static int notifications_read(struct links *l)
{
	char buf[NETLINK_BUFFER];
	ssize_t n;

	for (;;) {
		n = recv(links_fd(l), buf, sizeof(buf), MSG_DONTWAIT);
		if (n < 0 && errno != ENOBUFS)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (n < 0)
			l->lost = true;
		else
			mnl_cb_run(buf, n, 0, 0, message_report, l);
	}
}

int links_dispatch(struct links *l)
{
	int error = notifications_read(l);

	if (!error && !l->lost && l->address_gone) {
		l->address_gone = false;
		error = dump(l, RTM_GETADDR);
	}
	return error ? error : catch_up(l);
}
