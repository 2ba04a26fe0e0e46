/* SPDX-License-Identifier: BSD-2-Clause */
/* What a program leaves of its connections to the one that takes its place (execve()). */
#ifndef INPROC_IMAGE_H
#define INPROC_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

/* The environment's word of it. */
#define IMAGE_VARIABLE "TCPCRYPT_LEFT="

struct image_entry;

struct image {
	struct image_entry *entries;
	size_t n, size;
	char *variable; /* NULL: nothing is left */
	size_t variable_size;
};

/*
 * Before execve(), in a process that has its table to itself: the descriptors that are inherited now
 * stand for their connections (handover.h), if the new program can have the library. 0, or
 * -EOPNOTSUPP: it is to talk, on standard input, output or error, on one that it cannot have.
 */
int image_leave(struct image *image, bool servable);

/* There is no new program. */
void image_return(struct image *image);

#endif
