/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection on its way to another program. Nobody knows before whether that has the library, so
 * it does not get the socket: it gets a descriptor of something else, in which there are the socket
 * and the connection's memory (vessel.h), and which this library puts the socket in the place of
 * when it comes by. Without the library reading from it says ECONNRESET, writing is an error as
 * well, and when it is closed the connection is, and its peer sees that it was not ended.
 */
#ifndef INPROC_HANDOVER_H
#define INPROC_HANDOVER_H

#include "inproc/conn.h"

/* The descriptor that stands for fd, whose connection is c, in a vessel, locked: close-on-exec and the
 * caller's. Or a negative errno value. */
int handover_pack(int fd, const struct conn *c);

/*
 * Puts the socket that fd stands for in fd's place, close-on-exec. Returns its connection, not
 * locked, with one use (vessel_unuse()); NULL: fd is nothing of this kind, or not to be trusted
 * (from a user who is neither root nor this process's), and as it was; or of another version, or there
 * is no room for what is in it, and then it is the program's as a connection that was reset.
 */
struct conn *handover_open(int fd);

#endif
