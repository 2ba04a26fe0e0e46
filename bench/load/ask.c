// SPDX-License-Identifier: BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "bench/load/load.h"

#define LATENCIES_MAX  4000000
#define GATHER_SECONDS 60

struct asker {
	struct stream stream;
	double asked; /* when: for a new connection, at its connect() */
	size_t sent, got;
	bool met; /* its first answer has come */
	char response[8192];
};

struct asking {
	struct load *load;
	const struct load_question *question;
	int epoll_fd;
	size_t all;	/* answers, with those that are not counted */
	size_t answers; /* counted */
	size_t errors;
	size_t met;	  /* connections whose first answer has come */
	float *latencies; /* microseconds */
	size_t n_latencies;
};

static void ask_again(struct asking *a, struct asker *k)
{
	k->sent = k->got = 0;
	k->asked = load_now();
	if (k->stream.fd < 0)
		load_connect(a->load, a->epoll_fd, &k->stream, k);
}

/* Has the whole response come? */
static bool answered(const struct load_question *q, struct asker *k)
{
	const char *body, *length;

	if (q->response_len)
		return k->got >= q->response_len;
	k->response[k->got] = 0;
	body = strstr(k->response, "\r\n\r\n");
	length = strcasestr(k->response, "Content-Length:");
	if (!body || !length)
		return false;
	return k->got >= body + 4 - k->response + strtoul(length + 15, NULL, 10);
}

static void note(struct asking *a, double latency)
{
	a->all++;
	a->answers++;
	if (a->n_latencies < LATENCIES_MAX)
		a->latencies[a->n_latencies++] = latency * 1e6;
}

/* 0: goes on. Negative: nothing more can be done now (-EAGAIN), or the connection failed. */
static ssize_t asker_step(struct asking *a, struct asker *k)
{
	const struct load_question *q = a->question;
	ssize_t n;

	while (k->sent < q->request_len) {
		n = stream_write(&k->stream, q->request + k->sent, q->request_len - k->sent);
		if (n < 0)
			return n;
		k->sent += n;
	}
	n = stream_read(&k->stream, k->response + k->got, sizeof(k->response) - 1 - k->got);
	if (n <= 0)
		return n ? n : -ECONNRESET;
	k->got += n;
	if (!answered(q, k))
		return 0;
	note(a, load_now() - k->asked);
	a->met += !k->met;
	k->met = true;
	if (q->hold)
		return -EAGAIN;
	if (q->once)
		stream_end(&k->stream);
	ask_again(a, k);
	return q->once ? -EAGAIN : 0; /* which is not connected yet */
}

static void asker_ready(struct asking *a, struct asker *k)
{
	ssize_t outcome = a->question->hold && k->met ? -EAGAIN : 0;

	while (!outcome)
		outcome = asker_step(a, k);
	if (outcome == -EAGAIN)
		return;
	a->errors++;
	stream_end(&k->stream);
	ask_again(a, k);
}

static void turn(struct asking *a)
{
	struct epoll_event events[LOAD_EVENTS];
	int n = epoll_wait(a->epoll_fd, events, LOAD_EVENTS, 100);

	for (int i = 0; i < n; i++)
		asker_ready(a, events[i].data.ptr);
}

static int by_value(const void *x, const void *y)
{
	float a = *(const float *)x, b = *(const float *)y;

	return (a > b) - (a < b);
}

static void report(struct asking *a, double seconds)
{
	size_t n = a->n_latencies;

	qsort(a->latencies, n, sizeof(a->latencies[0]), by_value);
	printf("{\"rate\": %.6g, \"p50_us\": %.6g, \"p99_us\": %.6g, \"errors\": %zu,"
	       " \"answers\": %zu}\n",
	       seconds > 0 ? a->answers / seconds : 0.0, n ? a->latencies[n / 2] : 0.0,
	       n ? a->latencies[n * 99 / 100] : 0.0, a->errors, a->all);
	fflush(stdout);
}

static void wait_for_input_to_end(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

void load_ask(struct load *l, const struct load_question *q)
{
	struct asker *askers = calloc(l->connections, sizeof(*askers));
	struct asking a = { .load = l,
			    .question = q,
			    .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
			    .latencies = malloc(LATENCIES_MAX * sizeof(float)) };
	double begin = load_now(), now;

	if (!askers || !a.latencies)
		load_die("memory");
	for (int i = 0; i < l->connections; i++) {
		askers[i].stream.fd = -1;
		ask_again(&a, &askers[i]);
	}
	/* Counting begins when all connections are there. */
	while (a.met < (size_t)l->connections && (!a.errors || !q->hold) &&
	       load_now() < begin + GATHER_SECONDS)
		turn(&a);
	begin = now = load_now();
	if (!q->hold)
		a.answers = a.n_latencies = 0;
	while (!q->hold && now < begin + l->seconds) {
		turn(&a);
		now = load_now();
	}
	report(&a, now - begin);
	if (q->hold)
		wait_for_input_to_end();
	free(a.latencies);
	free(askers);
}
