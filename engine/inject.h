/* SPDX-License-Identifier: BSD-2-Clause */
/* Sends packets over loopback that belong to a held SYN, through raw sockets, which the TC
 * program lets pass. Functions return 0 or a negative errno value. */
#ifndef ENGINE_INJECT_H
#define ENGINE_INJECT_H

#include <stddef.h>
#include <stdint.h>

struct inject {
	int fd4;
	int fd6; /* -1 on a host without IPv6 */
};

void inject_init(struct inject *in);
int inject_open(struct inject *in);
void inject_close(struct inject *in);

/* syn is the held SYN, IP header first. */
int inject_syn(const struct inject *in, const uint8_t *syn, size_t len);
int inject_rst(const struct inject *in, const uint8_t *syn, size_t len);
int inject_icmp(const struct inject *in, const uint8_t *syn, size_t len, int error);

#endif
