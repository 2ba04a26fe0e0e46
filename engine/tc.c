// SPDX-License-Identifier: BSD-2-Clause
#include "engine/tc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/qdisc.h"

void tc_init(struct tc *tc, int steer_fd, int hold_fd)
{
	memset(tc, 0, sizeof(*tc));
	tc->steer_fd = steer_fd;
	tc->hold_fd = hold_fd;
}

static enum bpf_tc_attach_point attach_point(const struct tc *tc, int ifindex)
{
	return ifindex == tc->loopback ? BPF_TC_EGRESS : BPF_TC_INGRESS;
}

static bool is_attached(const struct tc *tc, int ifindex)
{
	for (size_t i = 0; i < tc->n; i++)
		if (tc->ifindexes[i] == ifindex)
			return true;
	return false;
}

static int remember(struct tc *tc, int ifindex)
{
	int *grown;

	grown = reallocarray(tc->ifindexes, tc->n + 1, sizeof(*grown));
	if (!grown)
		return -ENOMEM;
	tc->ifindexes = grown;
	tc->ifindexes[tc->n++] = ifindex;
	return 0;
}

/* libbpf warns of every hook that exists already, and of every filter that is gone. */
static int print_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int tc_attach(struct tc *tc, int ifindex, bool loopback)
{
	/* libbpf wants the padding zero as well, which only this macro sees to. */
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = QDISC_HANDLE, .priority = QDISC_PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	libbpf_print_fn_t print;
	int error;

	if (is_attached(tc, ifindex))
		return 0;
	if (loopback)
		tc->loopback = ifindex;
	hook.attach_point = attach_point(tc, ifindex);
	opts.prog_fd = loopback ? tc->hold_fd : tc->steer_fd;
	print = libbpf_set_print(print_nothing);
	error = bpf_tc_hook_create(&hook);
	libbpf_set_print(print);
	if (error && error != -EEXIST)
		return error;
	error = bpf_tc_attach(&hook, &opts);
	return error ? error : remember(tc, ifindex);
}

static void detach(const struct tc *tc, int ifindex)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = attach_point(tc, ifindex));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = QDISC_HANDLE, .priority = QDISC_PRIORITY);
	libbpf_print_fn_t print = libbpf_set_print(print_nothing);

	/* An interface that is gone took its filters along. */
	bpf_tc_detach(&hook, &opts);
	/* Others may use the same hook: it goes only when nothing is on it any more. */
	if (qdisc_clsact_is_empty(ifindex) == 1) {
		hook.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
		bpf_tc_hook_destroy(&hook);
	}
	libbpf_set_print(print);
}

static bool is_ours(uint32_t prog_id)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);
	bool ours;

	if (fd < 0)
		return false;
	ours = !bpf_obj_get_info_by_fd(fd, &info, &len) && !strncmp(info.name, "tcpcrypt_", 9);
	close(fd);
	return ours;
}

int tc_sweep(int ifindex, bool loopback)
{
	const struct tc tc = { .loopback = loopback ? ifindex : 0 };
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = attach_point(&tc, ifindex));
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = QDISC_HANDLE, .priority = QDISC_PRIORITY);
	libbpf_print_fn_t print = libbpf_set_print(print_nothing);
	int error = bpf_tc_query(&hook, &opts);

	libbpf_set_print(print);
	if (error || !is_ours(opts.prog_id))
		return error == -EPERM ? error : 0;
	detach(&tc, ifindex);
	return 1;
}

void tc_detach(struct tc *tc, int ifindex)
{
	for (size_t i = 0; i < tc->n; i++) {
		if (tc->ifindexes[i] != ifindex)
			continue;
		detach(tc, ifindex);
		tc->ifindexes[i] = tc->ifindexes[--tc->n];
		return;
	}
}

void tc_forget(struct tc *tc)
{
	free(tc->ifindexes);
	tc->ifindexes = NULL;
	tc->n = 0;
}

void tc_deinit(struct tc *tc)
{
	while (tc->n)
		tc_detach(tc, tc->ifindexes[0]);
	tc_forget(tc);
}
