// SPDX-License-Identifier: BSD-2-Clause
/*
 * Checked traffic for the tests of limits and faults; traffic.h says what crosses the wire.
 *
 *   traffic serve PORT...                         both families; until the end of its input
 *   traffic mix N SECONDS SEED ADDRESS PORT...    N connections at a time, of all kinds
 *   traffic rounds N UP DOWN ADDRESS PORT...      N connections; each line of its input is
 *                                                 one more round of all; until its end
 *   traffic burst N UP DOWN ADDRESS PORT...       one round of all, who connect at once
 *   traffic stall N ADDRESS PORT...               N connections that are answered without end
 *                                                 and do not read; a line, and they do
 *
 * Prints JSON objects, one a line; the last one sums up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "traffic.h"

#define PORTS_MAX    8
#define BATCH	     256
#define TICK_MS	     10
#define CONNECTING   256 /* at a time, if a backlog is not what is tested */
#define FAULTS_TOLD  20
#define STALL_DOWN   8000000
#define LAST_SECONDS 10

/* What epoll tells: a listener, or standard input, has no connection. */
struct source {
	struct source *next, *previous;
	int fd;
	bool listens;
	uint64_t arrived; /* the last gate that it is counted for */
	struct conn conn;
};

static struct {
	int epoll_fd;
	struct source conns; /* ring of the connections */
	struct source input;
	size_t n, opening;
	size_t arrived; /* at the gate */
	unsigned long long opened, complete, aborted, failed, sent, received;
	bool input_ended;
	double give_up; /* waiting for the last connections, then */
	bool ticks;	/* pauses end by the clock */
} all;

static struct {
	struct sockaddr_storage address[PORTS_MAX];
	socklen_t address_len;
	size_t n_addresses;
	size_t connections;
	size_t connecting; /* at a time */
	struct plan plan;  /* rounds, stall */
	double until;	   /* mix: new connections begin */
	bool reads;	   /* false: stalled */
	uint64_t gate;
	double began; /* the round */
} run = { .reads = true, .gate = 1, .connecting = CONNECTING };

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void watch(struct source *s, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = s };

	if (epoll_ctl(all.epoll_fd, EPOLL_CTL_ADD, s->fd, &ev))
		die("epoll_ctl");
}

static struct source *conn_add(int fd, const struct plan *plan)
{
	struct source *s = calloc(1, sizeof(*s));

	if (!s)
		die("calloc");
	s->fd = fd;
	conn_init(&s->conn, fd, plan);
	s->next = &all.conns;
	s->previous = all.conns.previous;
	s->next->previous = s->previous->next = s;
	all.n++;
	all.opened++;
	watch(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	return s;
}

static void conn_end(struct source *s, enum conn_end end)
{
	const struct linger reset = { .l_onoff = 1, .l_linger = 0 };

	all.complete += end == CONN_COMPLETE;
	all.aborted += end == CONN_ABORTED;
	all.failed += end == CONN_FAILED;
	all.sent += s->conn.sent;
	all.received += s->conn.received;
	if (end == CONN_FAILED && all.failed <= FAULTS_TOLD)
		fprintf(stderr, "traffic: %s, rounds %u of %u up %u down, flags %#x: %s\n",
			s->conn.server ? "server" : "client", s->conn.plan.rounds, s->conn.plan.up,
			s->conn.plan.down, s->conn.plan.flags, s->conn.fault);
	if (end != CONN_COMPLETE)
		setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(s->fd);
	s->next->previous = s->previous;
	s->previous->next = s->next;
	free(s);
	all.n--;
}

static bool is_at_gate(const struct source *s)
{
	return run.reads ? conn_rounds(&s->conn) >= run.gate : s->conn.sent > 0;
}

static void conn_advance(struct source *s)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
				  .data.ptr = s };
	bool connecting = !s->conn.server && !s->conn.connected;
	enum conn_end end;
	bool again;

	s->conn.stalls = !run.reads;
	end = conn_run(&s->conn, now(), &again);
	if (connecting && (s->conn.connected || end != CONN_LIVES))
		all.opening--;
	if (s->arrived < run.gate && is_at_gate(s)) {
		s->arrived = run.gate;
		all.arrived++;
	}
	if (end != CONN_LIVES)
		conn_end(s, end);
	else if (again)
		epoll_ctl(all.epoll_fd, EPOLL_CTL_MOD, s->fd, &ev); /* says so once more */
}

static void conn_open(void)
{
	const struct sockaddr_storage *ss = &run.address[all.opened % run.n_addresses];
	struct plan plan = run.plan;
	struct source *s;
	int fd = socket(ss->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("socket");
	if (run.until)
		plan_random(&plan);
	else
		plan.seed = all.opened;
	if (connect(fd, (const struct sockaddr *)ss, run.address_len) && errno != EINPROGRESS) {
		fprintf(stderr, "traffic: connect(): %s\n", strerror(errno));
		close(fd);
		all.opened++;
		all.failed++;
		return;
	}
	s = conn_add(fd, &plan);
	if (plan.flags & PLAN_GATED)
		s->conn.gate = run.gate;
	all.opening++;
}

static bool opens_more(void)
{
	if (all.opening >= run.connecting)
		return false;
	if (run.until)
		return all.n < run.connections && now() < run.until;
	return all.opened < run.connections && !all.input_ended;
}

static void accept_all(struct source *listener)
{
	int fd;

	while ((fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
		conn_add(fd, NULL);
	if (errno != EAGAIN && errno != ECONNABORTED)
		die("accept");
}

/* Every connection once: those whose pause is over, or all when the gate has opened. */
static void conns_advance(void)
{
	struct source *s, *next;

	for (s = all.conns.next; s != &all.conns; s = next) {
		next = s->next;
		if (run.plan.flags & PLAN_GATED)
			s->conn.gate = run.gate;
		if (s->conn.connected)
			conn_advance(s);
	}
}

/* The end of the input ends every connection, in order, with the round that it is in. */
static void wind_up(void)
{
	struct source *s;

	for (s = all.conns.next; s != &all.conns; s = s->next)
		if (!s->conn.plan.rounds && !s->conn.server)
			s->conn.plan.rounds = run.gate;
	conns_advance();
}

static void input_read(void)
{
	char discard[64];

	if (read(STDIN_FILENO, discard, sizeof(discard)) > 0) {
		run.gate++;
		run.began = now();
		all.arrived = 0;
		run.reads = true;
		conns_advance();
		return;
	}
	all.input_ended = true;
	all.give_up = now() + LAST_SECONDS;
	epoll_ctl(all.epoll_fd, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
	wind_up();
}

static void tell_round(void)
{
	static uint64_t told;

	if (told == run.gate || all.arrived < run.connections)
		return;
	printf("{\"round\": %llu, \"connections\": %zu, \"seconds\": %.3f}\n",
	       (unsigned long long)run.gate, all.n, now() - run.began);
	fflush(stdout);
	told = run.gate;
}

/* Clients have ended before they are told of here. */
static bool is_over(bool serves)
{
	if (serves)
		return all.input_ended && (!all.n || now() >= all.give_up);
	return !all.n && (run.until ? now() >= run.until : all.input_ended);
}

static void loop(bool serves)
{
	struct epoll_event batch[BATCH];
	double ticked = now();
	int n;

	while (!is_over(serves)) {
		while (!serves && opens_more())
			conn_open();
		n = epoll_wait(all.epoll_fd, batch, BATCH, all.ticks ? TICK_MS : 1000);
		for (int i = 0; i < n; i++) {
			struct source *s = batch[i].data.ptr;

			if (s == &all.input)
				input_read();
			else if (s->listens)
				accept_all(s);
			else
				conn_advance(s);
		}
		if (all.ticks && now() - ticked > TICK_MS / 1e3) {
			ticked = now();
			conns_advance();
		}
		if (!serves && !run.until)
			tell_round();
	}
}

static void serve(const char *port)
{
	static struct source listeners[PORTS_MAX];
	static size_t n_listeners;
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	struct source *s = &listeners[n_listeners++];
	int yes = 1, no = 0;

	s->listens = true;
	s->fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	setsockopt(s->fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof(no));
	if (bind(s->fd, (struct sockaddr *)&any, sizeof(any)) || listen(s->fd, 4096))
		die(port);
	watch(s, EPOLLIN);
}

static void destination(const char *address, const char *port)
{
	struct sockaddr_storage *ss = &run.address[run.n_addresses++];
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;

	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(port));
		run.address_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(atoi(port));
		run.address_len = sizeof(*v6);
	} else {
		die(address);
	}
}

static int usage(void)
{
	fprintf(stderr, "usage: traffic serve PORT...\n"
			"       traffic mix N SECONDS SEED ADDRESS PORT...\n"
			"       traffic {rounds|burst} N UP DOWN ADDRESS PORT...\n"
			"       traffic stall N ADDRESS PORT...\n");
	return 2;
}

/* Returns the index of the first of the address and ports; 0: wrong usage. */
static int command(int argc, char **argv)
{
	const char *name = argc > 3 ? argv[1] : "";

	if (!strcmp(name, "mix") && argc > 6) {
		run.until = now() + atof(argv[3]);
		srand48(atol(argv[4]));
		all.ticks = true;
	} else if ((!strcmp(name, "rounds") || !strcmp(name, "burst")) && argc > 6) {
		bool burst = !strcmp(name, "burst");

		run.plan = (struct plan){ .rounds = burst,
					  .flags = burst ? 0 : PLAN_GATED,
					  .up = atoi(argv[3]),
					  .down = atoi(argv[4]) };
		if (burst)
			run.connecting = SIZE_MAX;
	} else if (!strcmp(name, "stall") && argc > 4) {
		run.plan = (struct plan){ .rounds = 1, .up = 1, .down = STALL_DOWN };
		run.reads = false;
	} else {
		return 0;
	}
	run.connections = atoi(argv[2]);
	return !strcmp(name, "stall") ? 3 : 5;
}

int main(int argc, char **argv)
{
	bool serves = argc > 2 && !strcmp(argv[1], "serve");
	struct rlimit files;
	int at = 2;

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	run.began = now();
	all.conns.next = all.conns.previous = &all.conns;
	all.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	all.input.fd = STDIN_FILENO;
	if (!serves && !(at = command(argc, argv)))
		return usage();
	if (!run.until)
		watch(&all.input, EPOLLIN);
	for (int i = serves ? at : at + 1; i < argc && i < at + PORTS_MAX; i++) {
		if (serves)
			serve(argv[i]);
		else
			destination(argv[at], argv[i]);
	}
	loop(serves);
	printf("{\"opened\": %llu, \"complete\": %llu, \"aborted\": %llu, \"failed\": %llu, "
	       "\"live\": %zu, \"sent\": %llu, \"received\": %llu}\n",
	       all.opened, all.complete, all.aborted, all.failed, all.n, all.sent, all.received);
	return all.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
