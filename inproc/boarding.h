/* SPDX-License-Identifier: BSD-2-Clause */
/* How a connection comes to memory of its own (vessel.h), and works there. */
#ifndef INPROC_BOARDING_H
#define INPROC_BOARDING_H

#include "inproc/conn.h"

/* fd's connection, locked, in a state that another program can go on from: waits for the peer's Init
 * message if a key pair would have to go along. NULL: it is none. Without any connection's lock. */
struct conn *boarding_find(int fd);

/*
 * The connection of fd, c, locked, which is to be given to another program: moves it into a vessel
 * unless it is in one. Returns it, locked, with c unlocked if that is another; NULL, with c locked:
 * there is no memory, or other processes have c, who would not learn where it has gone.
 */
struct conn *boarding_ensure(struct conn *c, int fd);

/* Is there something to do for it, should the program not come back? Then a helper must know. */
bool boarding_is_busy(const struct conn *c);

/* Before a fork, while nobody closes anything: from then on it would be too late. */
void boarding_before_fork(void);

#endif
