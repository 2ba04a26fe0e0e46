/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cryptography for sessions in shared memory. The backend's contexts are a process's own; what
 * is shared is the key and its serial number, from which each process makes its context when it
 * first needs it. An ephemeral key pair stays in the process that made it and in those that it
 * forks afterwards.
 */
#ifndef INPROC_KEYS_H
#define INPROC_KEYS_H

#include <stdbool.h>
#include <tcpcrypt/crypto.h>

struct arena;

/* One direction's key: what struct tcpcrypt_aead is here. */
struct keys_aead {
	struct keys_shared *shared;
	uint64_t serial;
	uint16_t aead;
	bool taken;
	uint8_t key[TCPCRYPT_AEAD_KEY_MAX];
};

/* In a connection's slot. */
struct keys_shared {
	struct arena *arena;
	uint64_t pair_serial; /* of the key pair that is in use, 0: none */
	struct keys_aead aead[2];
};

/* The table for tcpcrypt_session_init(); NULL: no cryptography, so no encryption. */
const struct tcpcrypt_crypto *keys_crypto(void);

/* In the child of a fork: what other threads had in use is nobody's. */
void keys_forked(void);

/* Whose slot the session's allocations belong to: before every call of a session. */
void keys_enter(struct keys_shared *shared);

/* from's keys, key pair and contexts are this process's in to from now on, and from is wiped. to is a
 * copy of from but for its arena; a session's handles have moved by as much as it has. */
void keys_move(struct keys_shared *from, struct keys_shared *to);

/* shared lies somewhere else, in this arena, for this process. */
void keys_rebind(struct keys_shared *shared, struct arena *arena);

/* What this process has of it, key pair and contexts, is freed and wiped. Others may be at work on
 * shared. */
void keys_leave(const struct keys_shared *shared, const struct arena *arena);

/* Can this process go on with the key exchange of this connection? */
bool keys_has_pair(const struct keys_shared *shared);

#endif
