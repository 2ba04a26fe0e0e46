/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors of this library's own, which stay when a program closes all that there may be. */
#ifndef INPROC_KEPT_H
#define INPROC_KEPT_H

#include <stdbool.h>

#define KEPT_FROM 500 /* out of the way of programs that count on low numbers */

/* fd is one from now on, or none any more. Takes -1 as well. */
void kept_set(int fd, bool kept);

bool kept_is(int fd);

/* The lowest one from first to last, or -1. */
int kept_first(unsigned int first, unsigned int last);

/* A descriptor where no program looks for its own, close-on-exec; fd is closed. Takes, and returns, -1
 * as well. */
int kept_move_up(int fd);

#endif
