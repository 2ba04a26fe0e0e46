// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/report.h"

#include <errno.h>
#include <pthread.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/moment.h"
#include "inproc/outbox.h"
#include "inproc/section.h"
#include "inproc/stream.h"
#include "inproc/table.h"
#include "inproc/tell.h"

#define DELAY_MS  20 /* so that many go together; */
#define SECRET_MS 2  /* with what the next connection can use */
#define RETRY_MS  1000
#define RETRY_MAX 30000

const bool report_is_silent;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t due_ms;	  /* 0: nothing is due */
static uint64_t retry_ms; /* the daemon did not answer: not before */
static unsigned int pause_ms = RETRY_MS;
static bool again; /* all connections are to be told of (again) */

static unsigned int delay_of(const struct message *m)
{
	return m->type == MESSAGE_PROVEN ? 0 : m->has_next ? SECRET_MS : DELAY_MS;
}

void report_put(const struct message *m)
{
	bool wake = false;
	uint64_t due;

	section_enter();
	pthread_mutex_lock(&lock);
	if (outbox_put(m)) {
		due = now_ms() + delay_of(m);
		wake = !due_ms || due < due_ms;
		if (wake)
			due_ms = due;
	} else {
		/* Who is live will be told of once more. */
		again = true;
	}
	pthread_mutex_unlock(&lock);
	section_leave();
	if (wake)
		helper_wake();
}

/* Whoever forked this process told of its connections; from now on they may outlive it. */
static void process(void)
{
	if (!atomic_exchange(&conn_unknown, false))
		return;
	pthread_mutex_lock(&lock);
	again = true;
	due_ms = now_ms();
	pthread_mutex_unlock(&lock);
	helper_wake();
}

__attribute__((constructor(104))) static void observe(void)
{
	static const struct conn_observer observer = { tell_established, tell_ended, tell_plain,
						       tell_proven, process };

	conn_observer = &observer;
}

/* About every connection that this process has, as far as the queue has room, which is why there may
 * be several turns of it. */
struct round {
	enum message_type type;
	int at; /* descriptor; -1: not under way */
};

static struct round telling = { MESSAGE_LIVE, -1 };
static struct round counting = { MESSAGE_COUNTS, -1 };

static void round_go(struct round *r)
{
	for (; r->at >= 0 && r->at < atomic_load(&table_end) && !outbox_is_half_full(); r->at++) {
		struct conn *c = table_look(r->at);
		struct message m;

		if (!c)
			continue;
		m = tell_of(c, r->type);
		if (c->id && c->reported && c->phase == CONN_OPEN)
			report_put(&m);
		conn_unlock(c);
	}
	if (r->at >= atomic_load(&table_end))
		r->at = -1;
}

/* Nobody listens: what ended meanwhile is not told; what lives is when somebody does. */
static void lost(uint64_t now)
{
	outbox_drop();
	pthread_mutex_lock(&lock);
	due_ms = 0;
	again = true;
	telling.at = counting.at = -1;
	retry_ms = now + pause_ms;
	pause_ms = pause_ms < RETRY_MAX / 2 ? pause_ms * 2 : RETRY_MAX;
	pthread_mutex_unlock(&lock);
}

/* What the daemon has asked. */
static void count(void)
{
	const struct message end = { .size = sizeof(end), .type = MESSAGE_ANSWERED };

	if (counting.at < 0)
		return;
	round_go(&counting);
	if (counting.at < 0)
		report_put(&end);
}

int report_work(uint64_t now)
{
	bool all, comes_back;
	int r;

	pthread_mutex_lock(&lock);
	comes_back = retry_ms;
	if (retry_ms > now || (!retry_ms && (!due_ms || due_ms > now))) {
		r = retry_ms ? (int)(retry_ms - now) : due_ms ? (int)(due_ms - now) : -1;
		pthread_mutex_unlock(&lock);
		return r;
	}
	all = again;
	again = false;
	due_ms = now; /* so that nobody wakes us for more */
	pthread_mutex_unlock(&lock);
	if (all)
		telling.at = 0;
	round_go(&telling);
	count();
	r = outbox_send();
	if (r && r != -EAGAIN) {
		lost(now);
		return pause_ms;
	}
	if (comes_back)
		calls_listeners_mend();
	pthread_mutex_lock(&lock);
	retry_ms = 0;
	pause_ms = RETRY_MS;
	due_ms = !outbox_is_empty() || again || telling.at >= 0 || counting.at >= 0 ? now + DELAY_MS
										    : 0;
	r = due_ms ? DELAY_MS : -1;
	pthread_mutex_unlock(&lock);
	return r;
}

static void soon(void)
{
	pthread_mutex_lock(&lock);
	due_ms = now_ms();
	pthread_mutex_unlock(&lock);
}

/* 8548-3.9-2: the other end shall prove that it has the keys. What comes of it is told by tell_proven(). */
static void prove(struct conn *c, int fd)
{
	if (c->phase != CONN_OPEN || tcpcrypt_session_rekey(c->session) < 0)
		return;
	c->proving = true;
	tx_flush(c, fd, 0);
	helper_watch(c, fd);
}

static void prove_by_id(uint64_t id)
{
	bool found = false;

	for (int fd = 0; !found && fd < atomic_load(&table_end); fd++) {
		struct conn *c = table_lock(fd);

		if (!c)
			continue;
		found = c->id == id;
		if (found)
			prove(c, fd);
		conn_unlock(c);
	}
}

void report_ready(void)
{
	struct message_question question;
	int r;

	while ((r = outbox_receive(&question)) > 0) {
		if (question.what == MESSAGE_ASK_COUNTS) {
			counting.at = 0;
			soon();
		} else if (question.what == MESSAGE_ASK_PROOF) {
			prove_by_id(question.id);
		}
	}
	if (r == -EAGAIN)
		return;
	/* A daemon that was replaced, or is started again. */
	lost(now_ms());
}

void report_finish(void)
{
	if (!outbox_is_empty())
		outbox_send();
}

void report_forking(void)
{
	/* As report_put() takes them. */
	pthread_mutex_lock(&lock);
	outbox_forking();
}

void report_fork_done(void)
{
	outbox_fork_done();
	pthread_mutex_unlock(&lock);
}

void report_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	outbox_forked();
	due_ms = retry_ms = 0;
	pause_ms = RETRY_MS;
	again = false;
	telling.at = counting.at = -1;
	atomic_store(&conn_unknown, atomic_load(&table_end) > 0);
}
