/* SPDX-License-Identifier: BSD-2-Clause */
/* Buffers of one size, lent to flows while bytes are under way and kept for the next. They
 * hold plaintext, so they are wiped when they are given back. */
#ifndef DAEMON_BUFFER_H
#define DAEMON_BUFFER_H

#include <stddef.h>
#include <stdint.h>

/* Two of the largest frames: one to decrypt while the next arrives. */
#define BUFFER_SIZE (2 * 65544)

struct buffer_pool {
	uint8_t **spare;
	size_t n_spare;
	size_t n_unused; /* so many of them nobody has wanted since the last tick */
};

/* BUFFER_SIZE bytes, or NULL. */
uint8_t *buffer_get(struct buffer_pool *pool);
/* used: how many bytes at its front may hold data. Accepts NULL. */
void buffer_put(struct buffer_pool *pool, uint8_t *buffer, size_t used);
/* Once a second: what nobody has wanted meanwhile is given back to the system. */
void buffer_pool_tick(struct buffer_pool *pool);
void buffer_pool_deinit(struct buffer_pool *pool);

#endif
