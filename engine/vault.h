/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Secrets of programs that encrypt by themselves, in the kernel: put there for connections to come,
 * which find them by the peer's half of an identifier (passive opener) or by host and port (active).
 * Slots are numbered from 0 to SHARED_SECRETS_MAX, rings to SHARED_OFFER_RINGS; the caller says which
 * are free. One thread.
 */
#ifndef ENGINE_VAULT_H
#define ENGINE_VAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shared.h"
#include "engine/window.h"

#define VAULT_PUT_MAX 8

struct vault_maps {
	int resumptions, claims, secrets, offers, offers_to;
};

struct vault {
	struct window window;
	void *secrets_view, *offers_view;
	struct shared_secret *secrets;
	struct shared_offers *rings;
	uint32_t ring_base;
	int offers_to_fd;
};

/* In the first or second half of the maps, which is cleared if they were used before. 0 or a negative
 * errno value. */
int vault_open(struct vault *v, const struct vault_maps *maps, bool second, bool used);
/* wipe: the half is nobody else's by now. */
void vault_close(struct vault *v, bool wipe);

/* Of daemons that are gone: takes back what no connection has, from this half as well. */
void vault_revoke_all(struct vault *v);

/* The slot that an event names; SHARED_SECRETS_MAX or more: none of these. */
uint32_t vault_slot(const struct vault *v, uint32_t claim);

/* Puts n secrets, at most VAULT_PUT_MAX, into these slots. For a passive opener: SYNs with these halves may claim them. 0 or a
 * negative errno value; then none is there. */
int vault_put(struct vault *v, const uint32_t *slots, const struct shared_secret *secrets, size_t n,
	      const struct shared_half *halves);

/* Offers what was put into the slot for an active opener; false: the ring is full. */
bool vault_offer(struct vault *v, uint32_t ring, uint32_t slot);
/* Takes back what nobody has taken of a ring's, to be offered anew. */
void vault_ring_clear(struct vault *v, uint32_t ring);

/* Programs of that user find the ring by its peer, or not any more. */
int vault_ring_open(struct vault *v, uint32_t ring, const struct shared_offers_key *key);
void vault_ring_close(struct vault *v, uint32_t ring, const struct shared_offers_key *key);

/* What became of the secret with this token: it, or with a bit that is an outcome, or SHARED_CLAIMED;
 * 0: it is nobody's any more. ret_since: the second at which it was taken. */
uint64_t vault_state(const struct vault *v, uint32_t slot, uint32_t *ret_since);

/* Is it still there, to be read by whose connection agreed on it? */
bool vault_holds(const struct vault *v, uint32_t slot, uint64_t token);

/* Takes a secret back: false when a connection has taken it. half NULL: an active opener's. */
bool vault_take(struct vault *v, uint32_t slot, uint64_t token, const struct shared_half *half);

/* Ends and wipes it, whatever it is. */
void vault_end(struct vault *v, uint32_t slot, const struct shared_half *half);

#endif
