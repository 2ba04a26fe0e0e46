/* SPDX-License-Identifier: BSD-2-Clause */
/* Endpoints as the BPF programs keep them, as socket addresses, and as text. */
#ifndef DAEMON_ADDRESS_H
#define DAEMON_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "bpf/shared.h"

#define ADDRESS_TEXT_MAX 64

/* From a socket address (AF_INET, AF_INET6); anything else gives the zero endpoint. */
struct shared_endpoint address_from_sockaddr(const struct sockaddr_storage *ss);

/* To the socket address of the family that the endpoint needs (v4-mapped: AF_INET);
 * returns its length. */
socklen_t address_to_sockaddr(const struct shared_endpoint *e, struct sockaddr_storage *ret);

bool address_is_v4(const struct shared_endpoint *e);
bool address_is_loopback(const struct shared_endpoint *e);
bool address_equal(const struct shared_endpoint *a, const struct shared_endpoint *b);

/* "addr:port" or "[addr]:port"; parse is its inverse and returns 0 or -EINVAL. */
void address_format(const struct shared_endpoint *e, char out[static ADDRESS_TEXT_MAX]);
int address_parse(const char *text, struct shared_endpoint *ret);

/* A socket's two ends; the zero endpoint when the kernel has none. */
struct shared_endpoint address_local(int fd);
struct shared_endpoint address_peer(int fd);

#endif
