/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets made from a held SYN: the SYN itself with its checksum filled in, the RST that
 * refuses it, the ICMP error that reports why. Pure functions over bytes.
 */
#ifndef ENGINE_PACKET_H
#define ENGINE_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define PACKET_MAX 256

struct packet_address {
	int family;	  /* AF_INET, AF_INET6 */
	uint8_t addr[16]; /* 4 or 16 bytes of it */
};

/* Each writes a whole IP packet to out (PACKET_MAX bytes), its length to *ret_len and where it
 * must be sent to *ret_to. -EINVAL: syn (IP header first) is no SYN. */
int packet_make_syn(const uint8_t *syn, size_t len, uint8_t *out, size_t *ret_len,
		    struct packet_address *ret_to);
int packet_make_rst(const uint8_t *syn, size_t len, uint8_t *out, size_t *ret_len,
		    struct packet_address *ret_to);
/* error: EHOSTUNREACH, ENETUNREACH or EACCES. */
int packet_make_icmp(const uint8_t *syn, size_t len, int error, uint8_t *out, size_t *ret_len,
		     struct packet_address *ret_to);

#endif
