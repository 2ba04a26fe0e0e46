/* SPDX-License-Identifier: BSD-2-Clause */
/* Which programs the in-process library can be loaded into. */
#ifndef INPROC_SERVABLE_H
#define INPROC_SERVABLE_H

#include <stdbool.h>

/*
 * Can the library serve this program? NULL when it can, or why not: a static text. path is what
 * execve() would get; of a script its interpreter counts.
 */
const char *servable_reason(const char *path);

/* Is this process one of a program that is made so that the library must leave it alone? Another one that has
 * the library may have started it. */
bool servable_is_unfit(void);

#endif
