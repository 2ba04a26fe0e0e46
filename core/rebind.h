/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A session in memory that several process images use in turn: each has this code, and its
 * backend, at other addresses.
 */
#ifndef CORE_REBIND_H
#define CORE_REBIND_H

#include <stdint.h>

#include <tcpcrypt/session.h>

/*
 * Makes s usable in the calling image, before any other call there: crypto is this image's table
 * of the same backend, and what the backend made for the session (contexts, key pair) lies moved
 * bytes behind where it lay for whoever bound the session last, modulo the size of an address.
 * The caller has s to itself meanwhile, and both images were built from the same sources. A
 * session without anything to deinit stays so. Key logs are not carried along.
 */
void session_rebind(struct tcpcrypt_session *s, const struct tcpcrypt_crypto *crypto,
		    uintptr_t moved);

#endif
