/* SPDX-License-Identifier: BSD-2-Clause */
/* The file whose lock a daemon holds while it serves a network namespace. */
#ifndef ENGINE_CLAIM_H
#define ENGINE_CLAIM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CLAIM_DIR      "/run/tcpcryptd"
#define CLAIM_PATH_MAX 64

/* Whoever takes abandoned locks away holds them for a moment, too. */
#define CLAIM_TRIES   20
#define CLAIM_WAIT_US 5000

static inline void claim_path(uint64_t netns_cookie, char path[static CLAIM_PATH_MAX])
{
	snprintf(path, CLAIM_PATH_MAX, CLAIM_DIR "/%llu.lock", (unsigned long long)netns_cookie);
}

#endif
