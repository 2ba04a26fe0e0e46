/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Follows the namespace's interfaces and addresses (rtnetlink): those that are there at the
 * start are reported as if they had just come. Functions return 0 or a negative errno value.
 */
#ifndef ENGINE_LINKS_H
#define ENGINE_LINKS_H

#include <stdbool.h>
#include <stdint.h>

struct links;

struct links_interface {
	int index;
	const char *name; /* valid during the call */
	bool loopback;
	bool up;
	bool present; /* and not part of a VRF */
};

struct links_ops {
	void (*link)(void *data, const struct links_interface *interface);
	/* 16 bytes, IPv4 in the v4-mapped form. */
	void (*address)(void *data, const uint8_t addr[16], bool present);
};

int links_open(const struct links_ops *ops, void *data, struct links **ret);
void links_close(struct links *l);

/* Is it one of those that have been reported, and not as gone? For want of memory: it may be. */
bool links_has_address(const struct links *l, const uint8_t addr[16]);

/* Readable when something changed; then links_dispatch() reports it. */
int links_fd(const struct links *l);
int links_dispatch(struct links *l);

#endif
