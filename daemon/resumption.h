/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The cache of session secrets (RFC 8548 section 3.5). A fresh session leaves a chain of secrets
 * at both ends, and either may use them, one for each later connection. Of each chain the next
 * few are ready: this host proposes the lowest; the other's SYN may name any of them, and the BPF
 * programs then claim it. A secret is given out once, and wiped as it is.
 *
 * Secrets are in memory only, which daemon/secrets.h has locked (8548-3.5-19), and wiped when they
 * are used or forgotten. Any thread may call.
 */
#ifndef DAEMON_RESUMPTION_H
#define DAEMON_RESUMPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/eno.h>
#include <tcpcrypt/session.h>

#include "daemon/config.h"
#include "engine/window.h"

struct resumption;

/* A secret that a connection under way has taken; token 0: none. */
struct resumption_ticket {
	uint32_t slot;
	uint64_t token;
};

/* The chain that a connection's secret came from, or that it left; id 0: none. */
struct resumption_chain {
	uint32_t index;
	uint64_t id;
};

/* window, crypto and config stay the caller's. NULL without memory. */
struct resumption *resumption_new(struct window *w, const struct tcpcrypt_crypto *crypto,
				  const struct config *config);
void resumption_free(struct resumption *r);

/* Takes over what changed in the configuration: what it does not allow any more is forgotten. */
void resumption_configure(struct resumption *r, const struct config *config);

/* What the connection can use of a session. */
struct resumption_wanted {
	const uint8_t *teps;
	size_t n_teps;
	const uint16_t *aeads;
	size_t n_aeads;
};

/*
 * For a connection to peer: takes the lowest unused secret of a session with it, whose ticket
 * must be given to take, miss or drop in the end. Returns NULL, with what names the secret in
 * *ret_name but for its nonce; or the reason why there is none, static text.
 */
const char *resumption_propose(struct resumption *r, const struct shared_endpoint *peer,
			       const struct resumption_wanted *wanted, double now,
			       struct tcpcrypt_eno_resume *ret_name,
			       struct resumption_ticket *ret_ticket,
			       struct resumption_chain *ret_chain);

/* What names a ticket's secret. False when the secret is gone. */
bool resumption_name(struct resumption *r, const struct resumption_ticket *t,
		     struct tcpcrypt_eno_resume *ret);

/*
 * Both ends agreed to resume, the other one from this address: gives the secret out, but for the
 * nonces. The caller wipes *ret. False when the secret is gone.
 */
bool resumption_take(struct resumption *r, const struct resumption_ticket *t,
		     const struct shared_endpoint *peer, struct tcpcrypt_resumption *ret,
		     struct resumption_chain *ret_chain);

/* The other end did not know it; a session that it forgot is soon forgotten here, too. */
void resumption_miss(struct resumption *r, const struct resumption_ticket *t);

/* Nobody used it. A ticket without a secret is left as it is. */
void resumption_drop(struct resumption *r, const struct resumption_ticket *t);

/* A fresh session with peer has left its next secret. */
void resumption_store(struct resumption *r, const struct tcpcrypt_next_secret *next,
		      const struct shared_endpoint *peer, double now,
		      struct resumption_chain *ret_chain);

/* Forgets one session, or all of them. Secrets of connections under way are not affected. */
void resumption_forget(struct resumption *r, const struct resumption_chain *c);
void resumption_flush(struct resumption *r);

/* Forgets all, and keeps nothing more until resumption_configure(). */
void resumption_retire(struct resumption *r);

/* About once a second: forgets what is too old. */
void resumption_tick(struct resumption *r, double now);

/* How many sessions can be resumed. */
size_t resumption_count(struct resumption *r);

#endif
