/* SPDX-License-Identifier: BSD-2-Clause */
/* Where guards are pinned: a directory in the BPF file system, which is mounted at a place of our
 * own should it be missing at its usual one. */
#ifndef ENGINE_BPFFS_H
#define ENGINE_BPFFS_H

#include <stdbool.h>

/* Opens the directory; make: it and the mount are made when they are missing. A descriptor, or a
 * negative errno value: -ENOENT when there is none. */
int bpffs_open(bool make);

#endif
