/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef ENGINE_QDISC_H
#define ENGINE_QDISC_H

/* Has the interface a clsact qdisc without any filter, so that removing it harms nobody?
 * 1 yes, 0 no, negative errno when the kernel could not be asked. */
int qdisc_clsact_is_empty(int ifindex);

#endif
