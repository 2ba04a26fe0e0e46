// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/keys.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

#include "crypto/contexts.h"
#include "crypto/fastest.h"
#include "inproc/arena.h"

/* A process's own part of a slot; the lock of the connection in there is the lock of this, too. */
struct local {
	uint64_t pair_serial;
	struct tcpcrypt_keypair *pair;
	struct context_hint aead[2];
};

static const struct tcpcrypt_crypto *backend;
static struct contexts contexts; /* the process's */
static struct tcpcrypt_crypto table;
static __thread struct keys_shared *current;

/* Those of an arena: a process has its own, and what it was forked with. They stay. */
struct locals {
	struct locals *next;
	const struct arena *arena;
	struct local slots[ARENA_SLOTS];
};

static struct locals *_Atomic locals;

/* Of connections with memory of their own: arena_single(). */
static struct local singles[ARENA_SINGLES];

static struct locals *locals_find(const struct arena *arena)
{
	struct locals *l = atomic_load(&locals);

	while (l && l->arena != arena)
		l = l->next;
	return l;
}

/* NULL: no memory. */
static struct locals *locals_make(const struct arena *arena)
{
	struct locals *other, *l;

	l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (l == MAP_FAILED)
		return NULL;
	l->arena = arena;
	l->next = atomic_load(&locals);
	do {
		other = locals_find(arena);
		if (other) {
			munmap(l, sizeof(*l));
			return other;
		}
	} while (!atomic_compare_exchange_strong(&locals, &l->next, l));
	return l;
}

static struct local *single_local(const struct arena *arena)
{
	return &singles[arena_single_index(arena)];
}

static struct local *local_of(const struct keys_shared *shared)
{
	static __thread struct local none;
	struct locals *l;

	if (arena_is_single(shared->arena))
		return single_local(shared->arena);
	l = locals_find(shared->arena);
	if (!l)
		l = locals_make(shared->arena);
	if (l)
		return &l->slots[arena_slot_index(shared->arena, shared)];
	/* Without memory there is no key pair, and a context is looked for each time. */
	none = (struct local){};
	return &none;
}

static struct keys_aead *aead_of(struct tcpcrypt_aead *ctx)
{
	return (struct keys_aead *)(void *)ctx;
}

static struct context_hint *hint_of(const struct keys_aead *a)
{
	return &local_of(a->shared)->aead[a - a->shared->aead];
}

/* With the key as it is now. */
static struct context_user user_of(const struct keys_aead *a)
{
	return (struct context_user){ hint_of(a), a, a->serial, a->aead, a->key };
}

static int shared_aead_new(uint16_t aead, struct tcpcrypt_aead **ret)
{
	struct keys_aead *a = current->aead;

	if (a->taken)
		a++;
	if (a->taken)
		return TCPCRYPT_E_STATE;
	a->shared = current;
	a->taken = true;
	a->aead = aead;
	*ret = (struct tcpcrypt_aead *)(void *)a;
	return 0;
}

static int shared_aead_set_key(struct tcpcrypt_aead *ctx, const uint8_t *key)
{
	struct keys_aead *a = aead_of(ctx);

	memcpy(a->key, key, a->aead == TCPCRYPT_AEAD_AES_128_GCM ? 16 : 32);
	a->serial = arena_serial(a->shared->arena);
	return 0;
}

static int shared_aead_seal(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
			    const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
			    const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	const struct context_user user = user_of(aead_of(ctx));

	return contexts_seal(&contexts, backend, &user, nonce, aad, aad_len, data, len, text, tag);
}

static int shared_aead_open(struct tcpcrypt_aead *ctx, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
			    const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
			    const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN])
{
	const struct context_user user = user_of(aead_of(ctx));

	return contexts_open(&contexts, backend, &user, nonce, aad, aad_len, data, len, tag);
}

static void shared_aead_free(struct tcpcrypt_aead *ctx)
{
	struct keys_aead *a = aead_of(ctx);

	if (!a)
		return;
	contexts_drop(&contexts, backend, hint_of(a), a);
	OPENSSL_cleanse(a, sizeof(*a));
}

/* A session's key pair is only a name for the one that the process has. */
static struct tcpcrypt_keypair *pair_name(struct keys_shared *shared)
{
	return (struct tcpcrypt_keypair *)(void *)shared;
}

static struct local *pair_local(const struct tcpcrypt_keypair *pair)
{
	return local_of((const struct keys_shared *)(const void *)pair);
}

bool keys_has_pair(const struct keys_shared *shared)
{
	return !shared->pair_serial || local_of(shared)->pair_serial == shared->pair_serial;
}

static int shared_keypair_new(uint8_t tep, struct tcpcrypt_keypair **ret)
{
	struct local *l = local_of(current);
	int r;

	if (!arena_is_single(current->arena) && !locals_find(current->arena))
		return TCPCRYPT_E_NOMEM;
	if (l->pair)
		backend->keypair_free(l->pair);
	l->pair = NULL;
	r = backend->keypair_new(tep, &l->pair);
	if (r < 0)
		return r;
	current->pair_serial = l->pair_serial = arena_serial(current->arena);
	*ret = pair_name(current);
	return 0;
}

static int shared_public_key(const struct tcpcrypt_keypair *pair,
			     uint8_t out[TCPCRYPT_PUBLIC_KEY_MAX], size_t *ret_len)
{
	return backend->public_key(pair_local(pair)->pair, out, ret_len);
}

static int shared_agree(const struct tcpcrypt_keypair *pair, const uint8_t *peer, size_t peer_len,
			uint8_t out[TCPCRYPT_SHARED_SECRET_MAX], size_t *ret_len)
{
	const struct local *l = pair_local(pair);

	return l->pair ? backend->agree(l->pair, peer, peer_len, out, ret_len) : TCPCRYPT_E_STATE;
}

static void shared_keypair_free(struct tcpcrypt_keypair *pair)
{
	struct keys_shared *shared = (struct keys_shared *)(void *)pair;
	struct local *l;

	if (!pair)
		return;
	l = local_of(shared);
	if (l->pair && l->pair_serial == shared->pair_serial) {
		backend->keypair_free(l->pair);
		l->pair = NULL;
	}
	shared->pair_serial = 0;
}

static void prepare(void)
{
	const struct tcpcrypt_crypto *fastest = crypto_choose()->table;

	if (!fastest)
		return;
	table = *fastest;
	table.keypair_new = shared_keypair_new;
	table.public_key = shared_public_key;
	table.agree = shared_agree;
	table.keypair_free = shared_keypair_free;
	table.aead_new = shared_aead_new;
	table.aead_set_key = shared_aead_set_key;
	table.aead_seal = shared_aead_seal;
	table.aead_open = shared_aead_open;
	table.aead_free = shared_aead_free;
	backend = fastest;
}

const struct tcpcrypt_crypto *keys_crypto(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, prepare);
	return backend ? &table : NULL;
}

void keys_forked(void)
{
	contexts_forked(&contexts);
}

void keys_enter(struct keys_shared *shared)
{
	current = shared;
}

void keys_rebind(struct keys_shared *shared, struct arena *arena)
{
	shared->arena = arena;
	for (int i = 0; i < 2; i++)
		shared->aead[i].shared = shared;
}

/* Its contexts are found by the address of the key. */
static void contexts_leave(const struct keys_shared *shared, struct local *l)
{
	for (int i = 0; i < 2; i++)
		if (backend)
			contexts_drop(&contexts, backend, &l->aead[i], &shared->aead[i]);
}

void keys_move(struct keys_shared *from, struct keys_shared *to)
{
	struct local *old = local_of(from), *l = local_of(to);

	*l = (struct local){ .pair_serial = old->pair_serial, .pair = old->pair };
	contexts_leave(from, old);
	*old = (struct local){};
	/* Other programs' numbers of their own keys must not be these. */
	for (int i = 0; i < 2; i++)
		if (to->aead[i].serial)
			to->aead[i].serial = arena_serial(to->arena);
	OPENSSL_cleanse(from, sizeof(*from));
}

void keys_leave(const struct keys_shared *shared, const struct arena *arena)
{
	struct local *l = single_local(arena);

	contexts_leave(shared, l);
	if (l->pair)
		backend->keypair_free(l->pair);
	*l = (struct local){};
}
