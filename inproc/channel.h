/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket to the daemon. Nothing here waits. Not for two threads at a time, but for channel_fd(). */
#ifndef INPROC_CHANNEL_H
#define INPROC_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>

#include "inproc/message.h"

/* Connects, if that is not done. 0 or a negative errno value: there is no daemon. */
int channel_open(void);

/* One packet. 0; -EAGAIN: not now; another negative value: the daemon is gone. */
int channel_send(const void *packet, size_t len);

/* A packet from the daemon, what it has not is zero: 1, -EAGAIN, or a negative value: it is gone. */
int channel_receive(struct message_question *ret);

/* The descriptor; -1: there is none. */
int channel_fd(void);

/* Shall the program that takes this one's place have it, too? Returns it, -1: there is none. */
int channel_leave(bool left);

/* The program before has left it. */
void channel_take(int fd);

/* In the child of a fork: it has one of its own. */
void channel_forked(void);

#endif
