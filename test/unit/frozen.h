/* SPDX-License-Identifier: BSD-2-Clause */
/* The real backend with its randomness replaced, for vectors that fix keys and nonces. */
#ifndef TEST_UNIT_FROZEN_H
#define TEST_UNIT_FROZEN_H

#include <tcpcrypt/crypto.h>

/* random() of this table gives the len bytes at nonce, and fails when asked for another number. */
const struct tcpcrypt_crypto *frozen_crypto(const uint8_t *nonce, size_t len);

/*
 * The real backend with a fault: the n-th call (from 1) of any function that can fail gives an
 * error. n = 0: none fails. frozen_calls() tells how many such calls there were since.
 */
const struct tcpcrypt_crypto *frozen_failing(unsigned int n);
unsigned int frozen_calls(void);

#endif
