/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two ends of every measurement. The server does what a connection's first byte says:
 *
 *   'b'  takes bytes and answers each MiB of them with one byte
 *   'e'  sends everything back
 *
 * so that what the client counts has arrived.
 */
#ifndef BENCH_LOAD_LOAD_H
#define BENCH_LOAD_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

#include "bench/load/stream.h"

#define LOAD_BULK      'b'
#define LOAD_ECHO      'e'
#define LOAD_BULK_UNIT (1 << 20)
#define LOAD_EVENTS    256

struct load {
	struct sockaddr_in address;
	struct stream_tls tls;
	int connections; /* at a time */
	double seconds;
};

/* What a connection asks for, again and again. */
struct load_question {
	const char *request;
	size_t request_len;
	size_t response_len; /* 0: as HTTP says */
	bool once;	     /* a new connection for each */
	bool hold;	     /* once per connection, which then stays: until standard input ends */
};

double load_now(void);

/* Ends the process with what errno says. */
void load_die(const char *what) __attribute__((noreturn));

/* A connection on its way to l->address, registered with the epoll descriptor under data. */
void load_connect(struct load *l, int epoll_fd, struct stream *s, void *data);

/* A listener at l->address. */
int load_listen(const struct load *l);

/* These do not return. load_relay passes what comes to l->address on to another. */
void load_serve(struct load *l) __attribute__((noreturn));
void load_relay(struct load *l, const struct sockaddr_in *to) __attribute__((noreturn));

/* These do not return before l->seconds are over; they print JSON. */
void load_bulk(struct load *l);
void load_ask(struct load *l, const struct load_question *q);

#endif
