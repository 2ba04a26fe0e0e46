// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void pair_close(struct pipe_pair *p)
{
	if (p->read_fd >= 0)
		close(p->read_fd);
	if (p->write_fd >= 0)
		close(p->write_fd);
	*p = PIPE_NONE;
}

int pipe_get(struct pipe_pool *pool, struct pipe_pair *ret)
{
	int fds[2];

	if (pool->n_spare) {
		*ret = pool->spare[--pool->n_spare];
		return 0;
	}
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK))
		return -errno;
	*ret = (struct pipe_pair){ fds[0], fds[1] };
	return 0;
}

void pipe_put(struct pipe_pool *pool, struct pipe_pair *p, size_t bytes_inside)
{
	if (p->read_fd >= 0 && !bytes_inside && pool->n_spare < PIPE_SPARE_MAX) {
		pool->spare[pool->n_spare++] = *p;
		*p = PIPE_NONE;
		return;
	}
	pair_close(p);
}

void pipe_pool_deinit(struct pipe_pool *pool)
{
	while (pool->n_spare)
		pair_close(&pool->spare[--pool->n_spare]);
}
