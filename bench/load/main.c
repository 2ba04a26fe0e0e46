// SPDX-License-Identifier: BSD-2-Clause
/* The load generator of the benchmark, and its server. bench/README.md says what is measured. */
#include "bench/load/load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define PING	  "eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee"
#define HTTP_GET  "GET / HTTP/1.1\r\nHost: bench\r\n"
#define HTTP_KEEP HTTP_GET "\r\n"
#define HTTP_ONCE HTTP_GET "Connection: close\r\n\r\n"

static const struct {
	const char *name;
	struct load_question question;
} questions[] = {
	{ "connect", { "e", 1, 1, .once = true } },
	{ "ping", { PING, sizeof(PING) - 1, .response_len = sizeof(PING) - 1 } },
	{ "hold", { "e", 1, 1, .hold = true } },
	{ "http", { HTTP_KEEP, sizeof(HTTP_KEEP) - 1, .once = false } },
	{ "http-once", { HTTP_ONCE, sizeof(HTTP_ONCE) - 1, .once = true } },
};

double load_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

void load_die(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

void load_connect(struct load *l, int epoll_fd, struct stream *s, void *data)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = data };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		load_die("socket");
	stream_begin(s, fd, &l->tls, false);
	if (connect(fd, (struct sockaddr *)&l->address, sizeof(l->address)) && errno != EINPROGRESS)
		load_die("connecting");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		load_die("epoll");
}

static void usage(void)
{
	fprintf(stderr, "usage: load relay ADDRESS PORT TO-ADDRESS TO-PORT\n"
			"       load serve|bulk|connect|ping|hold|http|http-once"
			" [--tls[=PEM]] [--resume] [--connections N] [--seconds S]"
			" ADDRESS PORT\n");
	exit(2);
}

static struct sockaddr_in address_read(char **argv)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[1])) };

	if (inet_pton(AF_INET, argv[0], &address.sin_addr) != 1)
		usage();
	return address;
}

static void run(struct load *l, const char *what, const struct sockaddr_in *to)
{
	if (!strcmp(what, "relay"))
		load_relay(l, to);
	if (!strcmp(what, "serve"))
		load_serve(l);
	if (!strcmp(what, "bulk")) {
		load_bulk(l);
		return;
	}
	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++) {
		if (!strcmp(what, questions[i].name)) {
			load_ask(l, &questions[i].question);
			return;
		}
	}
	usage();
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "tls", optional_argument, NULL, 't' },
						 { "resume", no_argument, NULL, 'r' },
						 { "connections", required_argument, NULL, 'c' },
						 { "seconds", required_argument, NULL, 's' },
						 { 0 } };
	struct load l = { .connections = 1, .seconds = 1 };
	struct sockaddr_in to = { 0 };
	struct rlimit files;
	bool tls = false, resume = false;
	const char *pem = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 't') {
			tls = true;
			pem = optarg;
		} else if (option == 'r') {
			resume = true;
		} else if (option == 'c') {
			l.connections = atoi(optarg);
		} else if (option == 's') {
			l.seconds = atof(optarg);
		} else {
			usage();
		}
	}
	argc -= optind;
	argv += optind;
	if (!argc || argc != (strcmp(argv[0], "relay") ? 3 : 5) || l.connections < 1)
		usage();
	l.address = address_read(argv + 1);
	if (argc == 5)
		to = address_read(argv + 3);
	signal(SIGPIPE, SIG_IGN); /* libssl does not ask for EPIPE */
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (tls)
		stream_tls_init(&l.tls, pem, resume);
	run(&l, argv[0], &to);
	return EXIT_SUCCESS;
}
