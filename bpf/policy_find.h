/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * The rules as the programs find them, and what is told of connections that they refuse. Kernel
 * side. These maps are the guard's (guard.bpf.c), which outlives the daemon.
 */
#ifndef BPF_POLICY_FIND_H
#define BPF_POLICY_FIND_H

#include <bpf/bpf_core_read.h>

#include "bpf/maps.h"
#include "bpf/policy.h"

/* Two sets of rules, of which one is in force. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * POLICY_RULES_MAX);
	__type(key, __u32);
	__type(value, struct policy_rule);
} policy_rules __weak SEC(".maps");

/* Which one: the index of its first rule, and in the lower half how many it has. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} policy_active __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} refusals __weak SEC(".maps");

/* How many of other hosts' connections were told of since when. */
struct refusal_budget {
	__u64 since;
	__u64 told;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct refusal_budget);
} refusal_budgets __weak SEC(".maps");

/* The kernel's own, as far as it matters here. */
struct kernfs_node {
	const char *name;
} __attribute__((preserve_access_index));

struct cgroup {
	int level;
	struct kernfs_node *kn;
	struct cgroup *ancestors[];
} __attribute__((preserve_access_index));

struct sock___owned {
	struct {
		__u32 val;
	} sk_uid;
	struct {
		struct cgroup *cgroup;
	} sk_cgrp_data;
} __attribute__((preserve_access_index));

struct policy_scan {
	struct policy_query query;
	struct cgroup *cgroup; /* the socket's; not to be followed but by bpf_probe_read_kernel() */
	__u32 base;
	struct policy_verdict verdict;
};

/* Of words, not of bytes with a way out at each: the verifier follows every one. Both are filled
 * up with zeros. */
static __always_inline int part_is(struct cgroup *c, const char want[POLICY_CGROUP_NAME])
{
	__u64 name[POLICY_CGROUP_NAME / sizeof(__u64)] = {};
	const __u64 *words = (const __u64 *)want;
	__u64 differ = 0;

	/* What is longer than any part of a rule's path is cut off, and longer even so. */
	bpf_probe_read_kernel_str(name, sizeof(name), BPF_CORE_READ(c, kn, name));
	for (int i = 0; i < POLICY_CGROUP_NAME / (int)sizeof(__u64); i++)
		differ |= name[i] ^ words[i];
	return !differ;
}

/* By name, not by number: a service that starts again is in a new group of the same name. */
static __noinline int in_cgroup(const struct policy_rule *r, const struct policy_scan *s)
{
	struct cgroup *own, *c;

	if (!r || !s)
		return 0;
	own = s->cgroup;
	if (!own || BPF_CORE_READ(own, level) < r->n_levels)
		return 0;
	for (int i = 0; i < POLICY_LEVELS_MAX; i++) {
		if (i >= r->n_levels)
			break;
		if (bpf_core_read(&c, sizeof(c), &own->ancestors[i + 1]) ||
		    !part_is(c, r->cgroup[i]))
			return 0;
	}
	return 1;
}

/* bpf_loop() hands on nothing but what is on the stack. */
struct policy_walk {
	struct policy_scan *scan;
};

static __always_inline long policy_try(struct policy_walk *walk, __u32 i, int owned)
{
	struct policy_scan *s = walk->scan;
	__u32 index = s->base + i;
	const struct policy_rule *r = bpf_map_lookup_elem(&policy_rules, &index);

	if (!r)
		return 1;
	if (!policy_matches(r, &s->query) || (owned && r->n_levels && !in_cgroup(r, s)))
		return 0;
	s->verdict.action = r->action;
	s->verdict.line = r->line;
	return 1;
}

static long policy_try_out(__u32 i, void *ctx)
{
	return policy_try(ctx, i, 1);
}

/* Rules for incoming connections have no control groups. */
static long policy_try_in(__u32 i, void *ctx)
{
	return policy_try(ctx, i, 0);
}

/* Returns how many rules there are. */
static __always_inline __u64 policy_begin(struct policy_scan *s)
{
	__u32 zero = 0;
	__u64 *active = bpf_map_lookup_elem(&policy_active, &zero);
	__u64 now, n;

	if (!active)
		return 0;
	now = *(volatile __u64 *)active;
	s->base = now >> 32;
	n = now & 0xffffffff;
	/* The verifier's own code for bpf_loop() looks at all 64 bits, the compiler at 32. */
	barrier_var(n);
	return n;
}

/* Global, so that the verifier looks at them once, and not again for each way that leads here. */
__weak int policy_scan_out(struct policy_scan *s)
{
	struct policy_walk walk = { .scan = s };

	if (s)
		bpf_loop(policy_begin(s), policy_try_out, &walk, 0);
	return 0;
}

__weak int policy_scan_in(struct policy_scan *s)
{
	struct policy_walk walk = { .scan = s };

	if (s)
		bpf_loop(policy_begin(s), policy_try_in, &walk, 0);
	return 0;
}

static __always_inline int policy_is_empty(void)
{
	__u32 zero = 0;
	__u64 *active = bpf_map_lookup_elem(&policy_active, &zero);

	return !active || !(*(volatile __u64 *)active & 0xffffffff);
}

/* For a connection from this host; sk, which may be NULL, is the socket that opens it, local zero
 * if it is not bound yet. */
static __always_inline struct policy_verdict policy_out(void *sk,
							const struct shared_endpoint *local,
							const struct shared_endpoint *remote)
{
	struct policy_scan s = { .query = { .outgoing = 1, .remote = *remote, .local = *local } };
	struct sock___owned *owned;

	if (policy_is_empty())
		return s.verdict;
	owned = sk ? (struct sock___owned *)bpf_skc_to_tcp_sock(sk) : NULL;
	if (owned) {
		s.query.user = owned->sk_uid.val;
		s.cgroup = BPF_CORE_READ(owned, sk_cgrp_data.cgroup);
	} else {
		s.query.user = -1;
	}
	policy_scan_out(&s);
	return s.verdict;
}

/* For a connection to this host. */
static __always_inline struct policy_verdict policy_in(const struct shared_endpoint *local,
						       const struct shared_endpoint *remote)
{
	struct policy_scan s = { .query = { .remote = *remote, .local = *local } };

	if (!policy_is_empty())
		policy_scan_in(&s);
	return s.verdict;
}

/* Other hosts can open connections as fast as they like. */
#define REFUSALS_A_SECOND 32

static __always_inline int refusal_is_told(void)
{
	__u64 now = bpf_ktime_get_ns();
	struct refusal_budget *b;
	__u32 zero = 0;

	b = bpf_map_lookup_elem(&refusal_budgets, &zero);
	if (!b)
		return 0;
	if (now - b->since > 1000000000) {
		b->since = now;
		b->told = 0;
	}
	return ++b->told <= REFUSALS_A_SECOND;
}

static __always_inline struct shared_refusal *refusal_begin(enum shared_left_alone why, __u32 line)
{
	struct shared_refusal *r = bpf_ringbuf_reserve(&refusals, sizeof(*r), 0);

	if (!r)
		return NULL;
	__builtin_memset(r, 0, sizeof(*r));
	r->time_ns = bpf_ktime_get_ns();
	r->why = why;
	r->line = line;
	return r;
}

/* Of the program that runs: its connect() is refused. */
static __always_inline void refusal_tell_out(const struct shared_endpoint *remote,
					     enum shared_left_alone why, __u32 line)
{
	struct shared_refusal *r = refusal_begin(why, line);

	if (!r)
		return;
	r->outgoing = 1;
	r->remote = *remote;
	r->pid = bpf_get_current_pid_tgid() >> 32;
	bpf_get_current_comm(r->comm, sizeof(r->comm));
	bpf_ringbuf_submit(r, 0);
}

static __always_inline void refusal_tell_in(const struct shared_endpoint *local,
					    const struct shared_endpoint *remote,
					    enum shared_left_alone why, __u32 line)
{
	struct shared_refusal *r = refusal_is_told() ? refusal_begin(why, line) : NULL;

	if (!r)
		return;
	r->local = *local;
	r->remote = *remote;
	bpf_ringbuf_submit(r, 0);
}

#endif
