/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What epoll_wait() tells of connections. The kernel shows a socket as readable when an Init message comes,
 * or a part of a frame; a program that takes EAGAIN for an error then (those with libtevent do) would
 * not survive it. So its events are looked at, until the program has shown that it can: it has read on
 * where there was nothing. Events have no descriptor, only what the program gave with it.
 */
#ifndef INPROC_EPOLLED_H
#define INPROC_EPOLLED_H

#include <stdbool.h>

/* fd is another file from now on. */
void epolled_new(int fd);

/* What a call that reads from connection fd has told the program: that there is nothing, or some. */
void epolled_read(int fd, bool nothing);

/* The program closes fd, and the file stays open: with it the kernel would keep it in the program's sets, and
 * tell of what the program has forgotten. */
void epolled_closing(int fd);

#endif
