/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_QDISC_H
#define ENGINE_QDISC_H

#include <stdbool.h>
#include <stdint.h>

/* Ours among the filters of an interface: option kind and RFC number, easy to recognise. */
#define QDISC_HANDLE   69
#define QDISC_PRIORITY 8547

/* Has the interface a clsact qdisc without any filter, so that removing it harms nobody?
 * 1 yes, 0 no, negative errno when the kernel could not be asked. */
int qdisc_clsact_is_empty(int ifindex);

/* Do others have filters that come before ours on the side that we use? 1 and the priority of the
 * first, 0 no, negative errno when the kernel could not be asked. */
int qdisc_first_filter(int ifindex, bool egress, uint32_t *ret_priority);

#endif
