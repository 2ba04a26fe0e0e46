/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a socket negotiated whose program encrypts by itself: the engine's word, and core's. Used
 * by the in-process library and by libtcpcrypt; it keeps nothing.
 */
#ifndef INPROC_NEGOTIATED_H
#define INPROC_NEGOTIATED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tcpcrypt/eno.h>
#include <tcpcrypt/session.h>

#include "bpf/shared.h"

/* Tells the engine how this process encrypts what the socket negotiates (enum shared_inproc_mark); for the
 * first one that does it waits until the engine's guard is there. 0 or a negative errno value;
 * -ENOPROTOOPT: there is no engine. */
int negotiated_mark(int fd, int how);

/* Asks the engine: 0, or a negative errno value. -ENOENT: it left the socket alone; -ENODATA:
 * so it did, and will with the next one to that destination (only for SHARED_INPROC_REMEMBERS). Anything else
 * means that it is not there any more, or (-ESTALE) another one is, and not knowing is no licence for
 * plain text. */
int negotiated_ask(int fd, struct shared_inproc *ret);

/* What core makes of the two options. For a connection that the engine calls encrypted it must
 * come to the same (8547-4.6-7, 8548-3.2-5): *ret has the reason when it does not. */
void negotiated_decide(const struct shared_inproc *inproc, struct tcpcrypt_eno_result *ret);

/* With what it is to be resumed, if core has come to that. False: the engine has not given the
 * secret. The caller wipes *ret, and inproc->secret. */
bool negotiated_resumption(const struct shared_inproc *inproc,
			   const struct tcpcrypt_eno_result *result,
			   struct tcpcrypt_resumption *ret);

/* The AEADs that the socket offers as host A or accepts as host B, in decreasing preference: the
 * program's own wish, or the host's settings. How many; 0: there is no engine. */
size_t negotiated_aeads(int fd, enum tcpcrypt_role role, uint16_t ret[TCPCRYPT_AEADS_MAX]);

/*
 * Of a listener that was marked: if the engine is another one than the one that had its mark, it is marked
 * again. Where there is none the kernel is told that SYNs need not be kept, which *rested tells: of who comes from now on
 * it is known that nobody answers. Returns false when the listener needs to be marked, but cannot.
 * wish, unless NULL: tells the engine what the program wishes, before.
 */
bool negotiated_listener_mend(int listener, bool *rested, int (*wish)(int listener, const void *),
			      const void *data);

/* Had the SYN of an accepted connection an ENO option? Without an engine only one that had none
 * is known to be plain. */
bool negotiated_syn_had_eno(int fd);

#endif
