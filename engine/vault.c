// SPDX-License-Identifier: BSD-2-Clause
#include "engine/vault.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>

#define SECRETS_SIZE (2 * SHARED_SECRETS_MAX * sizeof(struct shared_secret))
#define OFFERS_SIZE  (2 * SHARED_OFFER_RINGS * sizeof(struct shared_offers))

/* n rings from the first on are no user's any more. */
static void rings_forget(struct vault *v, uint32_t first, uint32_t n)
{
	struct shared_offers_key key, next;
	bool more = !bpf_map_get_next_key(v->offers_to_fd, NULL, &next);
	uint32_t ring;

	while (more) {
		key = next;
		more = !bpf_map_get_next_key(v->offers_to_fd, &key, &next);
		if (!bpf_map_lookup_elem(v->offers_to_fd, &key, &ring) && ring - first < n)
			bpf_map_delete_elem(v->offers_to_fd, &key);
	}
}

/* What a daemon has left that had this half before. */
static void clear(struct vault *v)
{
	rings_forget(v, v->ring_base, SHARED_OFFER_RINGS);
	explicit_bzero(v->secrets, SHARED_SECRETS_MAX * sizeof(*v->secrets));
	memset(v->rings, 0, SHARED_OFFER_RINGS * sizeof(*v->rings));
}

int vault_open(struct vault *v, const struct vault_maps *maps, bool second, bool used)
{
	uint32_t base = second ? SHARED_SECRETS_MAX : 0;
	int error = window_open(&v->window, maps->resumptions, maps->claims,
				SHARED_SECRET_FIRST + base, SHARED_SECRETS_MAX);

	if (error)
		return error;
	v->offers_to_fd = maps->offers_to;
	v->secrets_view = mmap(NULL, SECRETS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			       maps->secrets, 0);
	v->offers_view = mmap(NULL, OFFERS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, maps->offers,
			      0);
	if (v->secrets_view == MAP_FAILED || v->offers_view == MAP_FAILED)
		return -errno;
	v->secrets = (struct shared_secret *)v->secrets_view + base;
	v->ring_base = second ? SHARED_OFFER_RINGS : 0;
	v->rings = (struct shared_offers *)v->offers_view + v->ring_base;
	if (used)
		clear(v);
	return 0;
}

void vault_close(struct vault *v, bool wipe)
{
	if (v->secrets && wipe)
		explicit_bzero(v->secrets, SHARED_SECRETS_MAX * sizeof(*v->secrets));
	if (v->secrets_view && v->secrets_view != MAP_FAILED)
		munmap(v->secrets_view, SECRETS_SIZE);
	if (v->offers_view && v->offers_view != MAP_FAILED)
		munmap(v->offers_view, OFFERS_SIZE);
	window_close(&v->window);
	memset(v, 0, sizeof(*v));
}

void vault_revoke_all(struct vault *v)
{
	struct shared_secret *all = v->secrets_view;

	rings_forget(v, 0, 2 * SHARED_OFFER_RINGS);
	for (uint32_t i = 0; i < 2 * SHARED_SECRETS_MAX; i++)
		if (all[i].token &&
		    window_revoke(&v->window, SHARED_SECRET_FIRST + i, all[i].token))
			explicit_bzero(&all[i], sizeof(all[i]));
}

uint32_t vault_slot(const struct vault *v, uint32_t claim)
{
	return window_slot(&v->window, claim);
}

int vault_put(struct vault *v, const uint32_t *slots, const struct shared_secret *secrets, size_t n,
	      const struct shared_half *halves)
{
	struct shared_resumption entries[VAULT_PUT_MAX] = {};
	int error = 0;

	for (size_t i = 0; i < n; i++) {
		const struct shared_secret *s = &secrets[i];

		v->secrets[slots[i]] = *s;
		entries[i].token = s->token;
		entries[i].slot = slots[i];
		entries[i].uid = s->uid;
		entries[i].aead = s->aead;
		entries[i].tep = s->tep;
		/* This host's half: that of its role in the session with which it all began. */
		memcpy(entries[i].half, s->identifier + (s->original_role ? SHARED_HALF_LEN : 0),
		       SHARED_HALF_LEN);
		memcpy(entries[i].nonce, s->nonce, sizeof(entries[i].nonce));
		if (!halves)
			window_offer(&v->window, slots[i], s->token);
	}
	if (halves)
		error = window_add(&v->window, halves, entries, n);
	for (size_t i = 0; error && i < n; i++)
		explicit_bzero(&v->secrets[slots[i]], sizeof(*v->secrets));
	return error;
}

bool vault_offer(struct vault *v, uint32_t ring, uint32_t slot)
{
	struct shared_offers *r = &v->rings[ring];
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);
	uint32_t at = r->tail % SHARED_OFFERS;

	if (r->tail - head >= SHARED_OFFERS)
		return false;
	r->offer[at].claim = slot + v->window.base;
	__atomic_store_n(&r->offer[at].token, v->secrets[slot].token, __ATOMIC_RELEASE);
	__atomic_store_n(&r->tail, r->tail + 1, __ATOMIC_RELEASE);
	return true;
}

void vault_ring_clear(struct vault *v, uint32_t ring)
{
	struct shared_offers *r = &v->rings[ring];
	uint64_t head = __atomic_load_n(&r->head, __ATOMIC_ACQUIRE);

	while (!__atomic_compare_exchange_n(&r->head, &head, r->tail, false, __ATOMIC_ACQ_REL,
					    __ATOMIC_ACQUIRE))
		;
}

int vault_ring_open(struct vault *v, uint32_t ring, const struct shared_offers_key *key)
{
	uint32_t number = ring + v->ring_base;

	return bpf_map_update_elem(v->offers_to_fd, key, &number, BPF_ANY);
}

void vault_ring_close(struct vault *v, uint32_t ring, const struct shared_offers_key *key)
{
	bpf_map_delete_elem(v->offers_to_fd, key);
	vault_ring_clear(v, ring);
}

uint64_t vault_state(const struct vault *v, uint32_t slot, uint32_t *ret_since)
{
	*ret_since = window_claimed(&v->window, slot);
	return window_state(&v->window, slot);
}

bool vault_holds(const struct vault *v, uint32_t slot, uint64_t token)
{
	return __atomic_load_n(&v->secrets[slot].token, __ATOMIC_ACQUIRE) == token;
}

bool vault_take(struct vault *v, uint32_t slot, uint64_t token, const struct shared_half *half)
{
	if (!window_take(&v->window, half, slot, token))
		return false;
	explicit_bzero(&v->secrets[slot], sizeof(*v->secrets));
	return true;
}

void vault_end(struct vault *v, uint32_t slot, const struct shared_half *half)
{
	window_end(&v->window, half, slot);
	explicit_bzero(&v->secrets[slot], sizeof(*v->secrets));
}
