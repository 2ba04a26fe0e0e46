/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A set of AEAD contexts: expanded keys of those connections that were used last. A context is a
 * kilobyte and made from its key in an eighth of a microsecond, so that not every idle connection
 * keeps its two. Any thread may call these.
 */
#ifndef CRYPTO_CONTEXTS_H
#define CRYPTO_CONTEXTS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tcpcrypt/crypto.h>

/* Two a connection; more threads than that are never in a set at once, or they wait. */
#define CONTEXTS 128

struct context {
	atomic_bool busy; /* who has set it may look at the rest */
	bool used;	  /* since the hand came by */
	const void *owner;
	uint64_t serial; /* of the key that is loaded, 0: none */
	uint16_t aead;
	struct tcpcrypt_aead *ctx;
};

/* Zeroed: empty. All of it is private. */
struct contexts {
	struct context places[CONTEXTS];
	atomic_uint hand;
};

/* Where owner's context was found last; zeroed: nowhere yet. */
struct context_hint {
	uint16_t place; /* counts from 1 */
};

/* Whose turn it is. No other thread asks for the same owner meanwhile. */
struct context_user {
	struct context_hint *hint;
	const void *owner;
	uint64_t serial; /* of the key: another one for each that the owner has */
	uint16_t aead;
	const uint8_t *key;
};

/* The context for the user's key: 0 with *ret, to be given back by contexts_put(), or the backend's
 * error. */
int contexts_get(struct contexts *set, const struct tcpcrypt_crypto *backend,
		 const struct context_user *user, struct context **ret);
void contexts_put(struct context *c);

/* For tests. */
struct tcpcrypt_aead *context_aead(struct context *c);

/* aead_seal() and aead_open() of the backend, with the user's key. */
int contexts_seal(struct contexts *set, const struct tcpcrypt_crypto *backend,
		  const struct context_user *user, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		  const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		  const struct tcpcrypt_span *text, uint8_t tag[TCPCRYPT_AEAD_TAG_LEN]);
int contexts_open(struct contexts *set, const struct tcpcrypt_crypto *backend,
		  const struct context_user *user, const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN],
		  const uint8_t *aad, size_t aad_len, uint8_t *data, size_t len,
		  const uint8_t tag[TCPCRYPT_AEAD_TAG_LEN]);

/* Wipes owner's context if there is one. */
void contexts_drop(struct contexts *set, const struct tcpcrypt_crypto *backend,
		   struct context_hint *hint, const void *owner);

/* In the child of a fork: threads that had a context in use are not here. */
void contexts_forked(struct contexts *set);

/* Frees them; nobody has one any more. */
void contexts_deinit(struct contexts *set, const struct tcpcrypt_crypto *backend);

#endif
