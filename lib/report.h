/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Telling the daemon of connections (inproc/tell.h) without a thread: whatever call has something to
 * tell sends it, never waiting, and what the daemon cannot take goes along with the next. Who cannot
 * reach it is not listed, and passes no secrets on.
 */
#ifndef LIB_REPORT_H
#define LIB_REPORT_H

#include "lib/socket.h"

/* From now on connections are told of. Once is enough. */
void report_begin(void);

/* Locked, in the course of a call: once in a while the daemon hears that the connection lives, and what
 * it has carried. */
void report_call(struct tcpcrypt_socket *s);

/* Locked. This process has the connection now, or lets it go without ending it. */
void report_taken(struct tcpcrypt_socket *s);
void report_left(struct tcpcrypt_socket *s);

#endif
