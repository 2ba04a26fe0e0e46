/* SPDX-License-Identifier: BSD-2-Clause */
/* Where a call's bytes come from, or go to: memory in pieces, or a file. */
#ifndef INPROC_BYTES_H
#define INPROC_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct bytes {
	const struct iovec *iov;
	size_t n;
	size_t at; /* in iov[0] */
	size_t left;
	int file; /* >= 0: from this file instead, at offset */
	off_t offset;
	bool pipe; /* which has no offset, and has what is left */
};

/* Of one call, as in the kernel (MAX_RW_COUNT, with pages of 4 KiB). */
#define BYTES_MAX ((size_t)0x7ffff000)

/* At most so many. */
struct bytes bytes_of(const struct iovec *iov, size_t n);

/* len is at most to->left. */
void bytes_put(struct bytes *to, const uint8_t *from, size_t len);
void bytes_skip(struct bytes *b, size_t len);

/* Memory that is to be read where it lies: the next len bytes, which are then taken, or NULL when they
 * do not lie in one place. */
const uint8_t *bytes_lent(struct bytes *from, size_t len);

/* Copies at most max of what is left: how many bytes, 0 at the file's end, or a negative errno
 * value. */
ssize_t bytes_take(struct bytes *from, uint8_t *to, size_t max);

#endif
