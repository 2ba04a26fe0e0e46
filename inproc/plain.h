/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Destinations that the engine knows as plain. For a second after it has said so, connect() to one
 * is left alone altogether: such a socket passes the engine's own programs as any program's does,
 * which know the policy and the same destinations, so nothing is decided here.
 */
#ifndef INPROC_PLAIN_H
#define INPROC_PLAIN_H

#include <stdbool.h>
#include <sys/socket.h>

/* to: an address of AF_INET or AF_INET6, of full length. */
bool plain_is_known(const struct sockaddr *to);
void plain_learn(const struct sockaddr *to);

/* The program sets socket options of its own (tcp_eno(7)), which may overrule that: nothing is known
 * any more. */
void plain_distrust(void);

/* In the child of fork(). */
void plain_forked(void);

#endif
