/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The sessions of programs that encrypt by themselves, for the processes of the user whose they are
 * (RFC 8548 section 3.5). A process that has exchanged keys gives the next secret of its session;
 * those that follow from it are put into the kernel (engine/vault.h), a few at a time, and connections
 * take them there, without asking: the active opener's by host and port, the passive opener's by
 * the identifier in the SYN. What became of each is seen in the kernel. Chains are apart from the
 * daemon's own, because who has one secret of a chain can derive all later ones.
 *
 * On one worker's thread.
 */
#ifndef DAEMON_INPROC_CACHE_H
#define DAEMON_INPROC_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/session.h>

#include "daemon/config.h"
#include "engine/vault.h"

#define INPROC_CHAINS_MAX 2048

struct inproc_cache;

/* At a limit that chain goes which was not used for longest: of the user's own, if that user has half
 * of all, or else of anybody's. */

/* The vault, crypto and config stay the caller's. NULL without memory. */
struct inproc_cache *inproc_cache_new(struct vault *v, const struct tcpcrypt_crypto *crypto,
				      const struct config *config, double now);
void inproc_cache_free(struct inproc_cache *c);

/* Takes over what changed in the configuration: what it does not allow any more is forgotten. */
void inproc_cache_configure(struct inproc_cache *c, const struct config *config);

/* A process of that user has this from a session between these ends, to which it opened (active) or
 * was opened. next has all but the identifier, and is wiped. */
void inproc_cache_store(struct inproc_cache *c, uint32_t uid, const struct shared_tuple *ends,
			bool active, struct tcpcrypt_next_secret *next, double now);

/* A process of that user could not read what came by a secret of this chain. */
void inproc_cache_forget(struct inproc_cache *c, uint32_t uid, uint64_t chain);

/* 8548-3.5-28: nor shall be kept what a connection with these ends has begun, be it that its process
 * has yet to tell of it, or what it has resumed (chain, or 0). */
void inproc_cache_forget_of(struct inproc_cache *c, const struct shared_tuple *ends,
			    uint64_t chain);

/* The claim (as the programs know it) of a secret has been taken, or has come to an end. */
void inproc_cache_event(struct inproc_cache *c, uint32_t claim, double now);

/* About once a second: what became of all others; what is too old goes. */
void inproc_cache_tick(struct inproc_cache *c, double now);

void inproc_cache_flush(struct inproc_cache *c);

/* Forgets all, and keeps nothing more until inproc_cache_configure(). */
void inproc_cache_retire(struct inproc_cache *c);

/* How many sessions can be resumed; any thread may ask. */
size_t inproc_cache_count(const struct inproc_cache *c);

#endif
