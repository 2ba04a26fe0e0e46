/* SPDX-License-Identifier: BSD-2-Clause */
/* Which process this is: one that was forked, however that was done, is another one. */
#ifndef LIB_PROCESS_H
#define LIB_PROCESS_H

#include <stdbool.h>

/* Begins to watch, if that is not done. False: there is no memory. */
bool process_watch(void);

/* Its number, another one than those of all that it descends from. After process_watch(). */
unsigned int process_number(void);

#endif
