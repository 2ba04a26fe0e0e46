/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the cache of daemon/resumption.h is made of: chains of secrets, of which the next few are
 * in slots. The caller has the lock.
 */
#ifndef DAEMON_CHAIN_H
#define DAEMON_CHAIN_H

#include <pthread.h>
#include <sys/queue.h>

#include "daemon/resumption.h"

#define PEER_BUCKETS 1024
#define SLOTS_MAX    SHARED_RESUMPTIONS_MAX

/* So many secrets of a chain are made ready together. */
#define WINDOW_STEP 8

enum slot_state {
	SLOT_FREE,
	SLOT_READY,    /* to be proposed, or claimed by a SYN */
	SLOT_CLAIMED,  /* by a SYN */
	SLOT_PROPOSED, /* by a connection of this host */
};

/* One secret, ss[index]. Its number is that of its claim. */
struct slot {
	TAILQ_ENTRY(slot) entry; /* in the chain's list, or the free ones' */
	struct chain *chain;	 /* NULL: forgotten, but a connection has the ticket */
	enum slot_state state;
	uint64_t token;
	uint64_t index;
	uint16_t port; /* for which it is proposed */
	struct tcpcrypt_next_secret secret;
};

TAILQ_HEAD(slot_list, slot);

/* The secrets of one original session. */
struct chain {
	TAILQ_ENTRY(chain) peer_entry; /* those with the same peer, last used first */
	TAILQ_ENTRY(chain) use_entry;  /* all of them, last used last; or the free ones */
	TAILQ_ENTRY(chain) age_entry;  /* all of them, oldest first */
	TAILQ_ENTRY(chain) wide_entry; /* those with more than a step ready, last used last */
	uint64_t id;		       /* 0: free */
	uint8_t peer[16];
	uint16_t port; /* the peer's, in the original session */
	bool bound;    /* at another one it was not known: for this one only */
	double since;
	uint64_t used;	 /* the highest index that both ends have used */
	uint64_t next;	 /* the first that is in no slot: frontier's */
	uint64_t window; /* how far ahead of used they are ready */
	unsigned int misses;
	struct tcpcrypt_next_secret frontier;
	size_t n_ready;
	struct slot_list ready; /* by index; SYNs may have claimed some of them */
	struct slot_list taken; /* proposed by connections of this host, or known to be claimed */
};

TAILQ_HEAD(chain_list, chain);

struct resumption {
	pthread_mutex_t lock;
	struct window *window;
	const struct tcpcrypt_crypto *crypto;
	double seconds;
	size_t max; /* 0: no cache */
	struct slot *slots;
	struct chain *chains;
	struct slot_list free_slots;
	size_t slots_touched; /* those behind were never used */
	size_t n_slots;	      /* that are not free */
	struct chain_list free_chains, by_use, by_age, wide;
	size_t n_chains, chains_touched;
	struct chain_list by_peer[PEER_BUCKETS];
	uint64_t last_id, last_token;
	double looked;
};

static inline uint32_t slot_number(const struct resumption *r, const struct slot *s)
{
	return s - r->slots;
}

/* The slot of a ticket whose secret is still there, or NULL. */
struct slot *slot_of(struct resumption *r, const struct resumption_ticket *t);

/* Its secret is given out, or used up, and wiped (8548-3.5-17, 8548-3.5-22). */
void slot_end(struct resumption *r, struct slot *s);

/* WINDOW_STEP secrets of a chain from the first on, and the one after. */
int chain_derive(const struct tcpcrypt_crypto *crypto, const struct tcpcrypt_next_secret *first,
		 struct tcpcrypt_next_secret ret[static WINDOW_STEP + 1]);

/* Where a cache begins to number its secrets' claims and its chains: for a moment daemons that have
 * replaced one another use the same maps, and none may take another's for its own. */
int chain_first_numbers(const struct tcpcrypt_crypto *crypto, uint64_t *ret_token,
			uint64_t *ret_id);

/* A chain that begins with these, for which another may have to go; NULL: there is no room. */
struct chain *chain_new(struct resumption *r,
			const struct tcpcrypt_next_secret secrets[static WINDOW_STEP + 1],
			const struct shared_endpoint *peer, double now);

/* Those whose SYN is under way keep their secret, and lose their chain. */
void chain_forget(struct resumption *r, struct chain *c);

/* With nothing left that could be used there will be nothing, either. */
bool chain_is_spent(const struct chain *c);

/* Chains of hosts with addresses like this. */
struct chain_list *chain_bucket(struct resumption *r, const uint8_t peer[16]);

/* Both ends have used this index: its host was there, and the window follows and grows. The chain may
 * be gone afterwards. */
void chain_used(struct resumption *r, struct chain *c, uint64_t index, const uint8_t peer[16]);

/* Takes the lowest secret that is unused, to propose it; NULL: there is none. */
struct slot *chain_lowest(struct resumption *r, struct chain *c);

#endif
