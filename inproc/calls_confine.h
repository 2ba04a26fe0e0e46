/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that change the rights of one thread. */
#ifndef INPROC_CALLS_CONFINE_H
#define INPROC_CALLS_CONFINE_H

#include <stdbool.h>

/* Makes the system call, as syscall() does, if it is one of these. Else false. */
bool calls_confine(long number, const long *a, long *ret);

#endif
