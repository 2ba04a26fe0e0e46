// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/buffer.h"

#include <stdlib.h>
#include <string.h>

#define BUFFER_SPARE_MAX 64

uint8_t *buffer_get(struct buffer_pool *pool)
{
	if (pool->n_spare)
		return pool->spare[--pool->n_spare];
	return malloc(BUFFER_SIZE);
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
		free(buffer);
}

void buffer_pool_deinit(struct buffer_pool *pool)
{
	while (pool->n_spare)
		free(pool->spare[--pool->n_spare]);
	free(pool->spare);
	pool->spare = NULL;
}
