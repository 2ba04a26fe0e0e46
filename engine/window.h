/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The secrets that other hosts may resume with, as the BPF programs know them: identifiers, and
 * for each a claim that is taken once, by a SYN or by user space. Any thread, one at a time.
 */
#ifndef ENGINE_WINDOW_H
#define ENGINE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shared.h"

/* Identifiers that mean nothing any more leave the map so many at a time. */
#define WINDOW_USED_MAX 16

struct window {
	int resumptions_fd; /* the engine's */
	void *view;	    /* of the map */
	struct shared_claim *claims;
	uint32_t base, n; /* the first of them in the map, and how many there are */
	const struct shared_worker *workers;	  /* the daemon's, */
	unsigned int n_workers;			  /* so many */
	struct shared_half used[WINDOW_USED_MAX]; /* no claim holds their tokens */
	uint32_t n_used;
};

/* Over the maps of the programs: n of the claims, which are cleared. Slots count from base. 0 or a
 * negative errno value. */
int window_open(struct window *w, int resumptions_fd, int claims_fd, uint32_t base, uint32_t n);

/* The slot that the programs know by this number. */
uint32_t window_slot(const struct window *w, uint32_t number);
void window_close(struct window *w);

/*
 * Lets n secrets be claimed by SYNs with these halves. Slots must be unused, tokens new, and
 * without the highest bit. In secrets slots become what the programs know them by. 0 or a negative errno value; then none of them can be.
 */
int window_add(struct window *w, const struct shared_half *halves,
	       struct shared_resumption *secrets, size_t n);

/* Whose flushes window_is_flushing() looks for; the memory stays the caller's. */
void window_watch(struct window *w, const struct shared_worker *workers, unsigned int n);

/* Has a program asked for a session to be forgotten (8548-3.5-28) that may not be yet? */
bool window_is_flushing(const struct window *w);

/* In the next two half is NULL for one that was only offered: window_offer(). */

/* Takes a secret back, whose slot may then be used again. False when a SYN has claimed it: then
 * nothing changes. */
bool window_take(struct window *w, const struct shared_half *half, uint32_t slot, uint64_t token);

/* Ends what a SYN has claimed; the slot may be used again. */
void window_end(struct window *w, const struct shared_half *half, uint32_t slot);

/* Of daemons that are gone: takes back a secret whose claim the programs know by this number. False
 * when it is not there to be claimed. */
bool window_revoke(struct window *w, uint32_t number, uint64_t token);

/* The same for all that SYNs of other hosts can name, this window's as well. */
void window_revoke_all(struct window *w);

/* Lets a claim be taken that no SYN of other hosts can name: only by the programs of this host. */
void window_offer(struct window *w, uint32_t slot, uint64_t token);

/* What stands in the claim. */
uint64_t window_state(const struct window *w, uint32_t slot);

/* The CLOCK_MONOTONIC second at which a SYN claimed it; 0: none has. */
uint32_t window_claimed(const struct window *w, uint32_t slot);

#endif
