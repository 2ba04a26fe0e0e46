/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * Policy rules: what an administrator wants of connections, by their ends and their owner. The
 * first rule that matches decides. The matching compiles natively as well: the daemon asks it
 * for what it accepted, and the unit test puts it through its cases.
 */
#ifndef BPF_POLICY_H
#define BPF_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "bpf/shared.h"

#define POLICY_RULES_MAX   256
#define POLICY_PORTS_MAX   8
#define POLICY_LEVELS_MAX  6  /* of a control group's path */
#define POLICY_CGROUP_NAME 64 /* of one of its parts, with the zero byte */

enum policy_action {
	POLICY_NONE, /* no rule matches: prefer, but for ports left alone */
	POLICY_OFF,
	POLICY_PREFER,
	POLICY_REQUIRE,
};

/* Of addresses in the v4-mapped form, in network byte order; mask zero: any address. */
struct policy_prefix {
	uint32_t addr[4];
	uint32_t mask[4];
	uint32_t v6_only; /* ::/0 has no IPv4 in it */
};

struct policy_ports {
	uint16_t first;
	uint16_t last;
};

struct policy_rule {
	uint8_t action;
	uint8_t outgoing; /* else incoming */
	uint8_t n_ports;  /* 0: any */
	uint8_t n_levels; /* 0: any control group */
	uint8_t by_user;
	uint8_t pad[3];
	uint32_t user;
	uint32_t line; /* in the configuration file */
	struct policy_prefix remote;
	struct policy_prefix local;
	struct policy_ports ports[POLICY_PORTS_MAX]; /* the server's */
	char cgroup[POLICY_LEVELS_MAX][POLICY_CGROUP_NAME];
};

struct policy_query {
	uint32_t outgoing;
	uint32_t user; /* outgoing: who made the socket */
	struct shared_endpoint remote;
	struct shared_endpoint local; /* outgoing: zero while the kernel is still to choose */
};

/* What the rules say: the line is that of the rule, 0 for POLICY_NONE. */
struct policy_verdict {
	uint32_t action; /* enum policy_action */
	uint32_t line;
};

static inline int policy_prefix_has(const struct policy_prefix *p, const uint8_t addr[16])
{
	const uint32_t *w = (const uint32_t *)addr;
	int v4 = !w[0] && !w[1] && !addr[8] && !addr[9] && addr[10] == 0xff && addr[11] == 0xff;

	if (p->v6_only && v4)
		return 0;
	return (w[0] & p->mask[0]) == p->addr[0] && (w[1] & p->mask[1]) == p->addr[1] &&
	       (w[2] & p->mask[2]) == p->addr[2] && (w[3] & p->mask[3]) == p->addr[3];
}

static inline int policy_ports_have(const struct policy_rule *r, uint16_t port)
{
	uint32_t found = !r->n_ports;

	/* By sign bits: with a comparison for each, the verifier follows every combination. */
	for (uint32_t i = 0; i < POLICY_PORTS_MAX; i++) {
		uint32_t counts = (i - r->n_ports) >> 31;
		uint32_t outside = ((uint32_t)port - r->ports[i].first) |
				   ((uint32_t)r->ports[i].last - port);

		found |= counts & ~(outside >> 31);
	}
	return found;
}

/*
 * A socket that is not bound to an address has none before its SYN is made. Until then a rule for
 * such addresses holds if it requires encryption: what might be required is.
 */
static inline int policy_local_has(const struct policy_rule *r, const struct policy_query *q)
{
	const struct policy_prefix *p = &r->local;
	const uint32_t *w = (const uint32_t *)q->local.addr;
	uint32_t unknown = !(w[0] | w[1] | w[2] | w[3]);
	uint32_t any = !(p->mask[0] | p->mask[1] | p->mask[2] | p->mask[3] | p->v6_only);

	if (q->outgoing && unknown)
		return any || r->action == POLICY_REQUIRE;
	return policy_prefix_has(p, q->local.addr);
}

/* All but the control group, which only the kernel side can see. */
static inline int policy_matches(const struct policy_rule *r, const struct policy_query *q)
{
	if (r->outgoing != q->outgoing || (r->by_user && r->user != q->user))
		return 0;
	return policy_ports_have(r, q->outgoing ? q->remote.port : q->local.port) &&
	       policy_prefix_has(&r->remote, q->remote.addr) && policy_local_has(r, q);
}

#endif
