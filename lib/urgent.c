// SPDX-License-Identifier: BSD-2-Clause
/* Socket objects do not tell of urgent data: all bytes stay in the stream. */
#include "inproc/urgent.h"

void urgent_marked(struct conn *c, int fd, uint64_t at)
{
	(void)c;
	(void)fd;
	(void)at;
}

void urgent_arrived(struct conn *c, int fd)
{
	(void)c;
	(void)fd;
}

void urgent_passed(struct conn *c, bool discards)
{
	(void)c;
	(void)discards;
}
