/* SPDX-License-Identifier: BSD-2-Clause */
/* Pipes for splice(), lent to plain flows while bytes are inside and kept for the next. */
#ifndef DAEMON_PIPE_H
#define DAEMON_PIPE_H

#include <stddef.h>

#define PIPE_SPARE_MAX 16

struct pipe_pair {
	int read_fd, write_fd; /* -1: none */
};

struct pipe_pool {
	struct pipe_pair spare[PIPE_SPARE_MAX];
	size_t n_spare;
};

#define PIPE_NONE ((struct pipe_pair){ -1, -1 })

/* 0 or a negative errno value. */
int pipe_get(struct pipe_pool *pool, struct pipe_pair *ret);
/* Only an empty pipe may be kept; otherwise it is closed. Sets *p to none. */
void pipe_put(struct pipe_pool *pool, struct pipe_pair *p, size_t bytes_inside);
void pipe_pool_deinit(struct pipe_pool *pool);

#endif
