/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The process's own AEAD contexts: expanded keys of those connections that were used last. A
 * context is a kilobyte and made from its key in an eighth of a microsecond, so that not every
 * idle connection keeps its two. Any thread may call these.
 */
#ifndef INPROC_CONTEXTS_H
#define INPROC_CONTEXTS_H

#include <stdint.h>
#include <tcpcrypt/crypto.h>

struct context;

/* Where owner's context was found last; zeroed: nowhere yet. */
struct context_hint {
	uint16_t place; /* counts from 1 */
};

/*
 * The context for this owner's key, which has this serial number; no other thread asks for the
 * same owner meanwhile. 0 with *ret, to be given back by contexts_put(), or the backend's error.
 */
int contexts_get(const struct tcpcrypt_crypto *backend, struct context_hint *hint,
		 const void *owner, uint64_t serial, uint16_t aead, const uint8_t *key,
		 struct context **ret);
void contexts_put(struct context *c);

struct tcpcrypt_aead *context_aead(struct context *c);

/* Wipes owner's context if there is one. */
void contexts_drop(const struct tcpcrypt_crypto *backend, struct context_hint *hint,
		   const void *owner);

/* In the child of a fork: threads that had a context in use are not here. */
void contexts_forked(void);

#endif
