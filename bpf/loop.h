/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bpf_loop() on Linux before 6.7: the verifier follows the callback through one call only, and takes
 * out of the program what cannot be after one call (Linux has mended this by "bpf: verify callbacks
 * as if they are called unknown number of times"). So nothing that a callback changes may begin as
 * a value which the verifier knows, as those do that are zeroed on the stack. Kernel side.
 */
#ifndef BPF_LOOP_H
#define BPF_LOOP_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* 0, but the verifier cannot tell: ticks of the clock since the start never reach the highest bit. */
static __always_inline __u32 loop_zero(void)
{
	return bpf_jiffies64() >> 63;
}

#endif
