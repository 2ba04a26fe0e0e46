/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TC programs on the interfaces: steer on ingress of each but lo, hold on egress of lo.
 * Filters outlive a daemon that crashed, so the programs themselves step aside then, and the
 * next daemon replaces the filters (they have a fixed handle and priority).
 */
#ifndef ENGINE_TC_H
#define ENGINE_TC_H

#include <stdbool.h>
#include <stddef.h>

struct tc {
	int steer_fd;
	int hold_fd;
	int *ifindexes; /* where a filter is attached */
	size_t n;
	int loopback; /* ifindex of lo once attached, else 0 */
};

void tc_init(struct tc *tc, int steer_fd, int hold_fd);

/* Detaches everywhere. Accepts a zeroed one. */
void tc_deinit(struct tc *tc);

/* The filters are another daemon's to take away, or to replace, from now on. */
void tc_forget(struct tc *tc);

/* 0 or a negative errno value. Attaching again is harmless; a dead daemon's filter is replaced. */
int tc_attach(struct tc *tc, int ifindex, bool loopback);
void tc_detach(struct tc *tc, int ifindex);

/* Removes a filter of ours whose daemon is gone. 1: removed; 0: there was none; or negative. */
int tc_sweep(int ifindex, bool loopback);

#endif
