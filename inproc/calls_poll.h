/* SPDX-License-Identifier: BSD-2-Clause */
/* Is what the kernel says of a socket so for the program? */
#ifndef INPROC_CALLS_POLL_H
#define INPROC_CALLS_POLL_H

#include <stdbool.h>

/* The kernel said that connection fd is readable: were those bytes only ones that the program does not
 * see, and has the library taken them? */
bool calls_took_all(int fd);

#endif
