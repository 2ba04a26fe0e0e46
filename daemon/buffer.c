// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/buffer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUFFER_SPARE_MAX 64

/* A mapping each: what malloc() is given back it may keep for ever. */
static uint8_t *buffer_new(void)
{
	void *p = mmap(NULL, BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	return p == MAP_FAILED ? NULL : p;
}

static void buffer_free(uint8_t *buffer)
{
	munmap(buffer, BUFFER_SIZE);
}

uint8_t *buffer_get(struct buffer_pool *pool)
{
	if (!pool->n_spare)
		return buffer_new();
	if (--pool->n_spare < pool->n_unused)
		pool->n_unused = pool->n_spare;
	return pool->spare[pool->n_spare];
}

void buffer_put(struct buffer_pool *pool, uint8_t *buffer, size_t used)
{
	if (!buffer)
		return;
	explicit_bzero(buffer, used < BUFFER_SIZE ? used : BUFFER_SIZE);
	if (!pool->spare)
		pool->spare = calloc(BUFFER_SPARE_MAX, sizeof(*pool->spare));
	if (pool->spare && pool->n_spare < BUFFER_SPARE_MAX)
		pool->spare[pool->n_spare++] = buffer;
	else
		buffer_free(buffer);
}

void buffer_pool_tick(struct buffer_pool *pool)
{
	while (pool->n_unused && pool->n_spare) {
		buffer_free(pool->spare[--pool->n_spare]);
		pool->n_unused--;
	}
	pool->n_unused = pool->n_spare;
}

void buffer_pool_deinit(struct buffer_pool *pool)
{
	while (pool->n_spare)
		buffer_free(pool->spare[--pool->n_spare]);
	free(pool->spare);
	pool->spare = NULL;
}
