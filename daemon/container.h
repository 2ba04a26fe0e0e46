/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef DAEMON_CONTAINER_H
#define DAEMON_CONTAINER_H

#include <stddef.h>

/* The struct of this type in which pointer points to the member of this name. */
#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif
