/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AEAD for a worker's flows. A flow keeps two keys; the kilobyte that the backend expands each to is
 * kept for those that were used last, so that idle flows are small and new ones allocate little.
 */
#ifndef DAEMON_AEADS_H
#define DAEMON_AEADS_H

#include <tcpcrypt/crypto.h>

/* This backend, but for its AEAD, which is as above. Once in a process, before aeads_begin(); backend
 * outlives it. */
const struct tcpcrypt_crypto *aeads_table(const struct tcpcrypt_crypto *backend);

/* In a thread that has sessions, around all of them: 0 or -ENOMEM. Their keys do not leave it, but to be
 * freed before aeads_end(). */
int aeads_begin(void);
void aeads_end(void);

#endif
