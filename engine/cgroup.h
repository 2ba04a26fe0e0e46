/* SPDX-License-Identifier: BSD-2-Clause */
/* Where the root of the cgroup v2 hierarchy is mounted: not always at /sys/fs/cgroup. */
#ifndef ENGINE_CGROUP_H
#define ENGINE_CGROUP_H

#include <stddef.h>

/* 0, -ENOENT when there is none, or another negative errno value. */
int cgroup_find(char *path, size_t size);

/* The same, opened: a descriptor. */
int cgroup_open(char *path, size_t size);

/* Moves the calling process into the cgroup v2 of another one. 0 or a negative errno value. */
int cgroup_join(int pid);

#endif
