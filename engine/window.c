// SPDX-License-Identifier: BSD-2-Clause
#include "engine/window.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <bpf/bpf.h>

#define CLAIMS_SIZE (SHARED_CLAIMS_MAX * sizeof(struct shared_claim))

/* Identifiers leave the map whose secrets are unwanted. */
static void clear(struct window *w,
		  bool (*unwanted)(struct window *, const struct shared_resumption *))
{
	struct shared_resumption secret;
	struct shared_half half, next;
	bool more = !bpf_map_get_next_key(w->resumptions_fd, NULL, &next);

	while (more) {
		half = next;
		more = !bpf_map_get_next_key(w->resumptions_fd, &half, &next);
		if (!bpf_map_lookup_elem(w->resumptions_fd, &half, &secret) && unwanted(w, &secret))
			bpf_map_delete_elem(w->resumptions_fd, &half);
	}
}

/* What a daemon has left that had these claims before. */
static bool has_own_claim(struct window *w, const struct shared_resumption *secret)
{
	return secret->slot - w->base < w->n;
}

/* A SYN that has claimed its secret has it: its SYN-ACK is made of what stands here. */
static bool revoke_unclaimed(struct window *w, const struct shared_resumption *secret)
{
	const struct shared_claim *all = w->view;

	return window_revoke(w, secret->slot, secret->token) ||
	       !(__atomic_load_n(&all[secret->slot].state, __ATOMIC_ACQUIRE) & SHARED_CLAIMED);
}

int window_open(struct window *w, int resumptions_fd, int claims_fd, uint32_t base, uint32_t n)
{
	void *view = mmap(NULL, CLAIMS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, claims_fd, 0);

	if (view == MAP_FAILED)
		return -errno;
	w->resumptions_fd = resumptions_fd;
	w->view = view;
	w->base = base;
	w->n = n;
	w->claims = (struct shared_claim *)view + w->base;
	clear(w, has_own_claim);
	return 0;
}

void window_watch(struct window *w, const struct shared_worker *workers, unsigned int n)
{
	w->workers = workers;
	w->n_workers = n;
}

bool window_is_flushing(const struct window *w)
{
	for (unsigned int i = 0; i < w->n_workers; i++)
		if (__atomic_load_n(&w->workers[i].flushes, __ATOMIC_ACQUIRE) !=
		    __atomic_load_n(&w->workers[i].flushed, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

void window_close(struct window *w)
{
	if (w->view)
		munmap(w->view, CLAIMS_SIZE);
	w->view = NULL;
}

uint32_t window_slot(const struct window *w, uint32_t number)
{
	return number - w->base;
}

/* A secret that was taken back unused is there again, and its identifier not to be deleted. */
static void remember(struct window *w, const struct shared_half *half)
{
	for (uint32_t i = w->n_used; i-- > 0;)
		if (!memcmp(&w->used[i], half, sizeof(*half)))
			w->used[i] = w->used[--w->n_used];
}

int window_add(struct window *w, const struct shared_half *halves,
	       struct shared_resumption *secrets, size_t n)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t count = n;
	int error;

	for (size_t i = 0; i < n; i++) {
		window_offer(w, secrets[i].slot, secrets[i].token);
		secrets[i].slot += w->base;
		remember(w, &halves[i]);
	}
	error = bpf_map_update_batch(w->resumptions_fd, halves, secrets, &count, &opts);
	if (!error)
		return 0;
	for (size_t i = 0; i < n; i++) {
		__atomic_store_n(&w->claims[window_slot(w, secrets[i].slot)].state, 0,
				 __ATOMIC_RELEASE);
		bpf_map_delete_elem(w->resumptions_fd, &halves[i]);
	}
	return error;
}

/* What a claim no longer holds a SYN cannot take, whether its identifier is in the map or not. */
static void forget(struct window *w, const struct shared_half *half)
{
	LIBBPF_OPTS(bpf_map_batch_opts, opts);
	uint32_t count, done;

	w->used[w->n_used++] = *half;
	if (w->n_used < WINDOW_USED_MAX)
		return;
	/* It stops at one that is not there. */
	for (done = 0; done < w->n_used; done += count + 1) {
		count = w->n_used - done;
		if (!bpf_map_delete_batch(w->resumptions_fd, w->used + done, &count, &opts))
			break;
	}
	w->n_used = 0;
}

bool window_take(struct window *w, const struct shared_half *half, uint32_t slot, uint64_t token)
{
	if (!__atomic_compare_exchange_n(&w->claims[slot].state, &token, 0, false, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE))
		return false;
	if (half)
		forget(w, half);
	return true;
}

void window_end(struct window *w, const struct shared_half *half, uint32_t slot)
{
	__atomic_store_n(&w->claims[slot].state, 0, __ATOMIC_RELEASE);
	if (half)
		forget(w, half);
}

bool window_revoke(struct window *w, uint32_t number, uint64_t token)
{
	struct shared_claim *all = w->view;

	return __atomic_compare_exchange_n(&all[number].state, &token, 0, false, __ATOMIC_ACQ_REL,
					   __ATOMIC_ACQUIRE);
}

void window_revoke_all(struct window *w)
{
	clear(w, revoke_unclaimed);
}

void window_offer(struct window *w, uint32_t slot, uint64_t token)
{
	w->claims[slot].since = 0;
	w->claims[slot].sent = SHARED_SENT_NOTHING;
	__atomic_store_n(&w->claims[slot].state, token, __ATOMIC_RELEASE);
}

uint64_t window_state(const struct window *w, uint32_t slot)
{
	return __atomic_load_n(&w->claims[slot].state, __ATOMIC_ACQUIRE);
}

uint32_t window_claimed(const struct window *w, uint32_t slot)
{
	return __atomic_load_n(&w->claims[slot].since, __ATOMIC_RELAXED);
}
