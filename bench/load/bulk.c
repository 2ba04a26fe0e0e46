// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "bench/load/load.h"

/* TCP finds its speed before counting begins. */
#define WARM_SECONDS 0.3

static char payload[256 * 1024];

/* Fills the connection; returns how many MiB have arrived since the last time. */
static size_t exchange(struct stream *s)
{
	char acknowledged[256];
	size_t units = 0;
	ssize_t n;

	do
		n = stream_write(s, payload, sizeof(payload));
	while (n > 0);
	if (n != -EAGAIN)
		return 0;
	while ((n = stream_read(s, acknowledged, sizeof(acknowledged))) > 0)
		units += n;
	if (n != -EAGAIN) {
		fprintf(stderr, "load: the connection ended\n");
		exit(EXIT_FAILURE);
	}
	return units;
}

void load_bulk(struct load *l)
{
	struct stream *streams = calloc(l->connections, sizeof(*streams));
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	double begin = load_now(), warm = begin + WARM_SECONDS, now = begin;
	size_t total = 0, before = 0;

	if (!streams)
		load_die("memory");
	memset(payload, LOAD_BULK, sizeof(payload));
	for (int i = 0; i < l->connections; i++)
		load_connect(l, epoll_fd, &streams[i], &streams[i]);
	while (now < begin + l->seconds + WARM_SECONDS) {
		struct epoll_event events[LOAD_EVENTS];
		int n = epoll_wait(epoll_fd, events, LOAD_EVENTS, 100);

		for (int i = 0; i < n; i++)
			total += exchange(events[i].data.ptr);
		now = load_now();
		if (now < warm) {
			before = total;
			begin = now - WARM_SECONDS;
		}
	}
	printf("{\"rate\": %.6g, \"bytes\": %.0f}\n",
	       (total - before) * (double)LOAD_BULK_UNIT / (now - begin - WARM_SECONDS),
	       total * (double)LOAD_BULK_UNIT);
	free(streams);
}
