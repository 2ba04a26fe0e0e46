// SPDX-License-Identifier: BSD-2-Clause
/* The floor under every proxy: accepts, connects, passes bytes on, and knows nothing else. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/load.h"

struct pair;

/* One socket, and what came from it and the other one had no room for. */
struct end {
	int fd;
	struct pair *pair;
	struct end *other;
	bool readable, ending; /* as epoll has told */
	bool over;	       /* its stream has ended, and that was passed on */
	char *left;
	size_t left_len;
};

struct pair {
	struct end ends[2];
	bool connected, closed;
	TAILQ_ENTRY(pair) entry;
};

TAILQ_HEAD(pair_list, pair);

static char buffer[128 * 1024];

/* Returns 0 when all of it is gone, -EAGAIN when some is left; other errors are final. */
static ssize_t end_give(struct end *e, const char *data, size_t len)
{
	char *left = NULL;
	ssize_t n = send(e->other->fd, data, len, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		return -errno;
	n = n < 0 ? 0 : n;
	if ((size_t)n < len) {
		left = malloc(len - n);
		if (!left)
			load_die("memory");
		memcpy(left, data + n, len - n);
	}
	free(e->left);
	e->left = left;
	e->left_len = len - n;
	return left ? -EAGAIN : 0;
}

/* The last of both ends leaves the rest to close(). */
static ssize_t end_over(struct end *e)
{
	e->over = true;
	if (e->other->over)
		return -ESHUTDOWN;
	shutdown(e->other->fd, SHUT_WR);
	return -EAGAIN;
}

static ssize_t end_step(struct end *e)
{
	ssize_t n;

	if (e->left)
		return end_give(e, e->left, e->left_len);
	if (e->over || !e->readable)
		return -EAGAIN;
	n = recv(e->fd, buffer, sizeof(buffer), 0);
	if (n < 0)
		return -errno;
	if (!n)
		return end_over(e);
	e->readable = e->ending || n == sizeof(buffer);
	return end_give(e, buffer, n);
}

static void pair_move(struct pair *p, struct pair_list *closed)
{
	ssize_t outcome = -EAGAIN;

	if (p->closed || !p->connected)
		return;
	for (int i = 0; i < 2 && outcome == -EAGAIN; i++) {
		do
			outcome = end_step(&p->ends[i]);
		while (!outcome);
	}
	if (outcome == -EAGAIN)
		return;
	for (int i = 0; i < 2; i++) {
		close(p->ends[i].fd);
		free(p->ends[i].left);
	}
	p->closed = true;
	TAILQ_INSERT_TAIL(closed, p, entry);
}

static void end_ready(struct end *e, uint32_t events, struct pair_list *closed)
{
	if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP))
		e->ending = true;
	if (events & EPOLLIN || e->ending)
		e->readable = true;
	if (e == &e->pair->ends[1] && events & (EPOLLOUT | EPOLLERR | EPOLLHUP))
		e->pair->connected = true;
	pair_move(e->pair, closed);
}

static void end_begin(struct pair *p, int i, int fd, int epoll_fd)
{
	struct end *e = &p->ends[i];
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				     .data.ptr = e };

	*e = (struct end){ .fd = fd, .pair = p, .other = &p->ends[!i] };
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		load_die("epoll");
}

static void accept_all(const struct sockaddr_in *to, int listen_fd, int epoll_fd)
{
	int here, there, one = 1;

	while ((here = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct pair *p = calloc(1, sizeof(*p));

		there = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (!p || there < 0)
			load_die("accepting");
		setsockopt(there, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		if (connect(there, (const struct sockaddr *)to, sizeof(*to)) &&
		    errno != EINPROGRESS)
			load_die("connecting");
		end_begin(p, 0, here, epoll_fd);
		end_begin(p, 1, there, epoll_fd);
	}
}

void load_relay(struct load *l, const struct sockaddr_in *to)
{
	struct epoll_event events[LOAD_EVENTS], first = { .events = EPOLLIN };
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int fd = load_listen(l);
	struct pair_list closed = TAILQ_HEAD_INITIALIZER(closed);
	struct pair *p;
	int one = 1;

	/* Which what is accepted inherits. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &first))
		load_die("epoll");
	for (;;) {
		int n = epoll_wait(epoll_fd, events, LOAD_EVENTS, -1);

		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				end_ready(events[i].data.ptr, events[i].events, &closed);
			else
				accept_all(to, fd, epoll_fd);
		}
		while ((p = TAILQ_FIRST(&closed))) {
			TAILQ_REMOVE(&closed, p, entry);
			free(p);
		}
	}
}
