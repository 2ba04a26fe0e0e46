// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "bench/load/load.h"

struct peer {
	struct stream stream;
	char kind; /* 0: nothing has come yet */
	size_t counted;
	size_t owed; /* bytes to write: of buffer, or of any kind for bulk */
	char buffer[4096];
};

static char bulk[256 * 1024];

/* Returns 0, or negative when nothing more can be done now; -EAGAIN is the only innocent one. */
static ssize_t peer_write(struct peer *p)
{
	while (p->owed) {
		ssize_t n = stream_write(&p->stream, p->buffer, p->owed);

		if (n < 0)
			return n;
		p->owed -= n;
		memmove(p->buffer, p->buffer + n, p->owed);
	}
	return 0;
}

static ssize_t peer_step(struct peer *p)
{
	bool is_bulk = p->kind == LOAD_BULK;
	char *buffer = is_bulk ? bulk : p->buffer;
	ssize_t n = peer_write(p);

	if (n < 0)
		return n;
	n = stream_read(&p->stream, buffer, is_bulk ? sizeof(bulk) : sizeof(p->buffer));
	if (n <= 0)
		return n ? n : -ECONNRESET;
	if (!p->kind)
		p->kind = buffer[0];
	if (p->kind == LOAD_ECHO) {
		p->owed = n;
		return 0;
	}
	p->counted += n;
	p->owed = p->counted / LOAD_BULK_UNIT;
	p->counted %= LOAD_BULK_UNIT;
	return 0;
}

static void peer_ready(struct peer *p)
{
	ssize_t outcome;

	do
		outcome = peer_step(p);
	while (!outcome);
	if (outcome == -EAGAIN)
		return;
	stream_end(&p->stream);
	free(p);
}

static void accept_all(struct load *l, int listen_fd, int epoll_fd)
{
	int fd;

	while ((fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
		struct peer *p = calloc(1, sizeof(*p));

		if (!p)
			load_die("memory");
		stream_begin(&p->stream, fd, &l->tls, true);
		event.data.ptr = p;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
			load_die("epoll");
	}
}

int load_listen(const struct load *l)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int one = 1;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, (const struct sockaddr *)&l->address, sizeof(l->address)) || listen(fd, 4096))
		load_die("listening");
	return fd;
}

void load_serve(struct load *l)
{
	struct epoll_event events[LOAD_EVENTS], first = { .events = EPOLLIN };
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int fd = load_listen(l);

	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &first))
		load_die("epoll");
	for (;;) {
		int n = epoll_wait(epoll_fd, events, LOAD_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				peer_ready(events[i].data.ptr);
			else
				accept_all(l, fd, epoll_fd);
		}
	}
}
