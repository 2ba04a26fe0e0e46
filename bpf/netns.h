/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* Network namespaces, the kernel's own, as far as they matter here. Kernel side. */
#ifndef BPF_NETNS_H
#define BPF_NETNS_H

#include <linux/types.h>

struct user_namespace;

struct net {
	__u64 net_cookie;
	struct user_namespace *user_ns;
} __attribute__((preserve_access_index));

struct sock_common {
	struct {
		struct net *net;
	} skc_net;
} __attribute__((preserve_access_index));

#endif
