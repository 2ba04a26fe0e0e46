/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The key log (doc/keylog.md): one line a session with what decrypts it. Off unless root's
 * configuration asks for it; whoever reads the file reads the connections.
 */
#ifndef DAEMON_KEYLOG_H
#define DAEMON_KEYLOG_H

#include <tcpcrypt/session.h>

#include "bpf/shared.h"

/*
 * Opens the file for appending, or makes it, readable by root alone. 0 and the descriptor, or
 * a negative errno value: -ELOOP a symbolic link, -EPERM an existing file that is not root's,
 * that others may read, or that is no regular file.
 */
int keylog_open(const char *path, int *ret_fd);

/* Appends the line of a session between local and peer. */
void keylog_write(int fd, const struct shared_endpoint *local, const struct shared_endpoint *peer,
		  const struct tcpcrypt_keylog *secrets);

#endif
