/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes and the descriptors that go with them, over a UNIX socket. */
#ifndef DAEMON_PARCEL_H
#define DAEMON_PARCEL_H

#include <stddef.h>
#include <sys/types.h>

#define PARCEL_FDS_MAX 128

/* All or nothing. The descriptors stay the caller's. 0 or a negative errno value. */
int parcel_send(int fd, const void *bytes, size_t len, const int *fds, size_t n_fds);

/* Like recv(); up to *n_fds descriptors, which are then the caller's, and *n_fds says how many. */
ssize_t parcel_receive(int fd, void *bytes, size_t size, int *fds, size_t *n_fds);

#endif
