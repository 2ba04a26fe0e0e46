/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef PASSED_H
#define PASSED_H

/* fd once more, by a message to a socket of one's own, as from another program; flags: recvmsg()'s. -1: no
 * descriptor. */
int passed(int fd, int flags);

#endif
