/* SPDX-License-Identifier: BSD-2-Clause */
/* The two directions of a connection that is encrypted: see conn.h for the rules. */
#ifndef INPROC_STREAM_H
#define INPROC_STREAM_H

#include "inproc/bytes.h"
#include "inproc/conn.h"

/* Reads; 0: end of file (8548-3.7-2), or no room. discard: as with MSG_TRUNC, nothing is stored. */
ssize_t rx_read(struct conn *c, int fd, struct bytes *to, bool discard);

/* The same bytes will be read again. With room for none: 0 when there are some, or the end. */
ssize_t rx_peek(struct conn *c, int fd, const struct bytes *to, bool discard);

/* How many bytes of the stream the kernel had when rx_peek() found no further frame, by now there may be
 * more; 0: to wait for more would show it no more. */
size_t rx_peek_more(const struct conn *c);

/* How many bytes can be read without waiting. */
size_t rx_available(struct conn *c, int fd);

/* Is there anything to read? What is not for the program, FINp above all, is taken in. */
bool rx_has_unread(struct conn *c, int fd);

/* Would a read say anything but EAGAIN? */
bool rx_is_ready(struct conn *c, int fd);

/* Opens what has come, as far as there is room, for what it says of urgent data. */
void rx_look_ahead(struct conn *c, int fd);

/* Takes in a key update that stands first, if it has no data: nobody reads for its sake. */
void rx_take_update(struct conn *c, int fd);

/* Takes in Init messages as far as they have come. 0: there are keys. */
int rx_keys(struct conn *c, int fd);

/* Gives the buffers back when nothing is under way. */
void rx_rest(struct conn *c);

/* Seals and sends what it can, flags being MSG_MORE, MSG_OOB or 0; before there are keys it is kept. */
ssize_t tx_write(struct conn *c, int fd, struct bytes *from, int flags);

/* Sends what was sealed or queued, and what the session itself has to say. 0: all is with the kernel. */
int tx_flush(struct conn *c, int fd, int flags);

/* 8548-3.7-1: seals FINp and sends it as far as it goes; then TCP's FIN, unless the socket is
 * about to be closed. */
int tx_finish(struct conn *c, int fd, bool closing);

#endif
