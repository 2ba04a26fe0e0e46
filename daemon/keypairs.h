/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Key pairs made ahead, while a worker has nothing else to do. Each serves one connection
 * (8548-3.3-3, 8548-8-2); those that are not used are wiped.
 */
#ifndef DAEMON_KEYPAIRS_H
#define DAEMON_KEYPAIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/crypto.h>

#define KEYPAIRS_MAX 32

/* Zeroed: of no TEP, and empty. */
struct keypairs {
	const struct tcpcrypt_crypto *crypto;
	uint8_t tep;
	size_t n;
	struct tcpcrypt_keypair *pairs[KEYPAIRS_MAX];
};

/* From now on pairs of this TEP; those from before are wiped. The table stays the caller's. */
void keypairs_set(struct keypairs *k, const struct tcpcrypt_crypto *crypto, uint8_t tep);

/* Makes one more, unless there are enough. Are there still too few? Not when it failed: who needs
 * a pair will find out. */
bool keypairs_make(struct keypairs *k);

/* The caller's from now on; NULL if there is none of this TEP. */
struct tcpcrypt_keypair *keypairs_take(struct keypairs *k, uint8_t tep);

void keypairs_deinit(struct keypairs *k);

#endif
