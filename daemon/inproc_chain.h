/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The chains of inproc_cache.h: their next secrets, each in a slot of the vault; a passive opener's by
 * the identifiers in SYNs, an active opener's in the ring of the host and port that it may offer them to.
 */
#ifndef DAEMON_INPROC_CHAIN_H
#define DAEMON_INPROC_CHAIN_H

#include <stdatomic.h>
#include <sys/queue.h>

#include "daemon/chain.h"
#include "daemon/inproc_cache.h"
#include "daemon/inproc_unwanted.h"

struct ring {
	LIST_ENTRY(ring) entry;
	struct shared_offers_key key;
	uint32_t number;
	size_t n_chains; /* that offer there; 0: free */
};

struct secret {
	TAILQ_ENTRY(secret) entry; /* in its chain's list, or among the free ones */
	struct inproc_chain *chain;
	uint64_t token, index;
	bool offered; /* an active opener's: in the ring */
	struct shared_half half;
};

TAILQ_HEAD(secret_list, secret);

struct inproc_chain {
	TAILQ_ENTRY(inproc_chain) entry; /* last used last; or the free ones */
	uint64_t id;			 /* 0: free */
	uint32_t uid;
	struct ring *ring;	  /* NULL: a passive opener's */
	struct shared_tuple ends; /* of the connection with which it began */
	double since;
	uint64_t used, next, window; /* as in struct chain */
	unsigned int misses;
	struct tcpcrypt_next_secret frontier;
	struct secret_list secrets; /* by index */
	size_t n_ready;
};

TAILQ_HEAD(inproc_chain_list, inproc_chain);
LIST_HEAD(ring_list, ring);

struct inproc_cache {
	struct vault *vault;
	const struct tcpcrypt_crypto *crypto;
	const struct config *config;
	size_t max; /* 0: no cache */
	double seconds, looked;
	struct secret *secrets; /* SHARED_SECRETS_MAX, by slot */
	size_t secrets_touched;
	struct secret_list free_secrets;
	struct inproc_chain *chains; /* INPROC_CHAINS_MAX */
	size_t chains_touched;	     /* those behind were never used */
	struct inproc_chain_list by_use, free_chains;
	struct ring *rings; /* SHARED_OFFER_RINGS */
	struct ring_list used_rings, free_rings;
	struct unwanted unwanted;
	atomic_size_t n_chains;
	uint64_t last_id, last_token;
};

/* A chain of which these are the first secrets; where there is no room for it, there is none. */
void inproc_chain_begin(struct inproc_cache *c, uint32_t uid, const struct shared_tuple *ends,
			bool active,
			const struct tcpcrypt_next_secret secrets[static WINDOW_STEP + 1],
			double now);

/* The chain is gone then; secrets that connections have are orphans. */
void inproc_chain_forget(struct inproc_cache *c, struct inproc_chain *chain);

/* What became of its secrets; others take their place. The chain may be gone then. */
void inproc_chain_look(struct inproc_cache *c, struct inproc_chain *chain, double now);

/* Those whose chain was forgotten while a connection had them. */
void inproc_orphans_look(struct inproc_cache *c, double now);

#endif
