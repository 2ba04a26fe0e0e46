/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * TCP_CRYPT_CACHE_FLUSH on a connection holds when setsockopt() returns, and only the daemon can
 * forget. So it is counted, and until the daemon has counted likewise nobody resumes anything
 * (RFC 8548 section 3.5). Kernel side.
 */
#ifndef BPF_FLUSHING_H
#define BPF_FLUSHING_H

#include "bpf/loop.h"
#include "bpf/maps.h"

static __always_inline void flush_count(__u32 slot)
{
	struct shared_worker *worker = bpf_map_lookup_elem(&workers, &slot);

	if (worker)
		__sync_fetch_and_add(&worker->flushes, 1);
}

struct flush_look {
	__u32 first_slot;
	__u32 found;
};

static long flush_look_step(__u32 i, void *ctx)
{
	struct flush_look *look = ctx;
	__u32 slot = look->first_slot + i;
	const struct shared_worker *worker = bpf_map_lookup_elem(&workers, &slot);

	look->found = worker && worker->flushes != worker->flushed;
	return look->found;
}

/* Has a program asked for a session to be forgotten that may not be yet? Which one only the daemon
 * knows. */
static __always_inline int is_flushing(void)
{
	struct shared_settings *s = settings_get();
	struct flush_look look;

	if (!s)
		return 1;
	look.found = loop_zero();
	look.first_slot = settings_serving(s).first_slot;
	bpf_loop(settings_serving(s).n_workers, flush_look_step, &look, 0);
	return look.found;
}

#endif
