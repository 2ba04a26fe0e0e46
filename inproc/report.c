// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/report.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#include "inproc/channel.h"
#include "inproc/arena.h"
#include "inproc/helper.h"
#include "inproc/negotiated.h"
#include "inproc/section.h"
#include "inproc/table.h"

#define QUEUE_MAX 4096
#define DELAY_MS  20 /* so that many go together; */
#define SECRET_MS 2  /* with what the next connection can use */
#define RETRY_MS  1000
#define RETRY_MAX 30000

struct queue {
	struct message message[QUEUE_MAX];
};

static pthread_mutex_t sending = PTHREAD_MUTEX_INITIALIZER; /* the channel; before lock */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue *queue; /* once there is something to tell */
static size_t first, n;
static uint64_t due_ms;	  /* 0: nothing is due */
static uint64_t retry_ms; /* the daemon did not answer: not before */
static unsigned int pause_ms = RETRY_MS;
static bool again; /* all connections are to be told of (again) */
static char comm[SHARED_COMM_LEN];

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

static double wall(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* Not for core files, and not for children, who have their own. */
static bool queue_make(void)
{
	void *memory;

	if (queue)
		return true;
	memory = mmap(NULL, sizeof(*queue), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	madvise(memory, sizeof(*queue), MADV_DONTDUMP);
	madvise(memory, sizeof(*queue), MADV_WIPEONFORK);
	queue = memory;
	return true;
}

static void put(const struct message *m)
{
	bool wake = false;
	uint64_t due;

	section_enter();
	pthread_mutex_lock(&lock);
	if (queue_make() && n < QUEUE_MAX) {
		queue->message[(first + n++) % QUEUE_MAX] = *m;
		due = now_ms() + (m->has_next ? SECRET_MS : DELAY_MS);
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

static void counts_set(struct message *m, const struct tcpcrypt_session_info *info)
{
	m->bytes_in = info->app_bytes_in;
	m->bytes_out = info->app_bytes_out;
	m->rekeys = info->local_generation;
}

static struct message message_of(const struct conn *c, enum message_type type)
{
	struct message m = { .type = type, .id = arena_name(c->keys.arena) + c->id };
	struct tcpcrypt_session_info info;

	m.outgoing = !c->passive;
	m.ends = c->ends;
	m.started = c->started;
	m.fresh = c->fresh ? MESSAGE_FRESH_UNKNOWN : MESSAGE_FRESH_NO_SESSION;
	memcpy(m.comm, comm, sizeof(m.comm));
	if (c->phase != CONN_OPEN)
		return m;
	tcpcrypt_session_info(c->session, &info);
	counts_set(&m, &info);
	m.role = info.role;
	m.tep = info.tep;
	m.aead = info.aead;
	m.resumed = info.resumed;
	if (info.session_id)
		memcpy(m.session_id, info.session_id, sizeof(m.session_id));
	return m;
}

/* 8548-3.5-18, 8548-3.5-27: what a later session may be resumed with. A resumed session's is known. */
static void next_take(struct conn *c, struct message *m)
{
	struct tcpcrypt_next_secret next;

	if (tcpcrypt_session_next_secret(c->session, &next))
		return;
	m->has_next = !m->resumed && !c->no_cache;
	if (m->has_next)
		memcpy(m->next, next.secret, sizeof(m->next));
	explicit_bzero(&next, sizeof(next));
}

static void established(struct conn *c)
{
	struct message m;

	c->started = wall();
	m = message_of(c, MESSAGE_ESTABLISHED);
	next_take(c, &m);
	c->reported = true;
	put(&m);
	explicit_bzero(&m, sizeof(m));
}

static int32_t reason_of(const struct conn *c)
{
	if (c->cause)
		return c->cause;
	switch (c->error) {
	case 0:
		/* Without keys the program itself was fast. */
		return c->reported ? MESSAGE_NO_REASON : MESSAGE_LOCAL_RESET;
	case ECONNABORTED:
		return MESSAGE_LOCAL_RESET;
	case ETIMEDOUT:
		return MESSAGE_TIMEOUT;
	case EHOSTUNREACH:
	case ENETUNREACH:
		return MESSAGE_UNREACHABLE;
	default:
		return MESSAGE_RESET;
	}
}

static void ended(struct conn *c)
{
	struct message m = message_of(c, MESSAGE_ENDED);

	m.reason = reason_of(c);
	/* The ends do not have the same secrets: the next connection exchanges keys. */
	if (c->cause == TCPCRYPT_E_AUTH && m.resumed && !m.bytes_in)
		m.chain = c->chain;
	put(&m);
}

static int32_t plain_reason(const struct shared_inproc *inproc)
{
	struct tcpcrypt_eno_result result;

	switch ((enum eno_sock_reason)inproc->reason) {
	case ENO_SOCK_NO_ACK:
		return MESSAGE_NO_ACK;
	case ENO_SOCK_SYN_RETRIES:
		return MESSAGE_SYN_RETRIES;
	case ENO_SOCK_SYN_COOKIE:
		return MESSAGE_SYN_COOKIE;
	case ENO_SOCK_BY_OPTIONS:
		break;
	}
	if (!inproc->peer_len)
		return MESSAGE_BY_ENO + TCPCRYPT_ENO_NO_OPTION;
	if (!inproc->own_len)
		return MESSAGE_BY_ENO + TCPCRYPT_ENO_NO_COMMON_TEP;
	negotiated_decide(inproc, &result);
	return MESSAGE_BY_ENO + (result.reason ? result.reason : TCPCRYPT_ENO_NO_OPTION);
}

static void plain(const struct shared_inproc *inproc, bool refused)
{
	struct message m = { .type = MESSAGE_PLAIN,
			     .outgoing = !inproc->passive,
			     .refused = refused,
			     .reason = plain_reason(inproc),
			     .ends = inproc->ends };

	/* Whom nobody offered anything is no news. */
	if (inproc->passive && !inproc->peer_len && !refused)
		return;
	memcpy(m.comm, comm, sizeof(m.comm));
	m.started = wall();
	put(&m);
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
	static const struct conn_observer observer = { established, ended, plain, process };

	prctl(PR_GET_NAME, comm);
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

static bool is_half_full(void)
{
	bool full;

	pthread_mutex_lock(&lock);
	full = n > QUEUE_MAX / 2;
	pthread_mutex_unlock(&lock);
	return full;
}

static void round_go(struct round *r)
{
	for (; r->at >= 0 && r->at < atomic_load(&table_end) && !is_half_full(); r->at++) {
		struct conn *c = table_look(r->at);
		struct message m;

		if (!c)
			continue;
		m = message_of(c, r->type);
		if (c->reported && c->phase == CONN_OPEN)
			put(&m);
		conn_unlock(c);
	}
	if (r->at >= atomic_load(&table_end))
		r->at = -1;
}

/* With the lock: up to MESSAGES_MAX of the queue; how many. */
static size_t batch_take(struct message batch[static MESSAGES_MAX])
{
	size_t i;

	for (i = 0; i < n && i < MESSAGES_MAX; i++)
		batch[i] = queue->message[(first + i) % QUEUE_MAX];
	return i;
}

static void batch_drop(size_t len)
{
	for (; len; len--, n--) {
		explicit_bzero(&queue->message[first], sizeof(queue->message[first]));
		first = (first + 1) % QUEUE_MAX;
	}
}

/* Sends what there is. -EAGAIN: the daemon has enough for now; another error: there is none. */
static int flush(void)
{
	static struct message batch[MESSAGES_MAX];
	size_t len;
	int r;

	pthread_mutex_lock(&sending);
	r = channel_open();
	while (!r) {
		pthread_mutex_lock(&lock);
		len = batch_take(batch);
		pthread_mutex_unlock(&lock);
		if (!len)
			break;
		r = channel_send(batch, len * sizeof(*batch));
		pthread_mutex_lock(&lock);
		if (!r)
			batch_drop(len);
		pthread_mutex_unlock(&lock);
	}
	explicit_bzero(batch, sizeof(batch));
	pthread_mutex_unlock(&sending);
	return r;
}

/* Nobody listens: what ended meanwhile is not told; what lives is when somebody does. */
static void lost(uint64_t now)
{
	pthread_mutex_lock(&lock);
	batch_drop(n);
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
	const struct message end = { .type = MESSAGE_ANSWERED };

	if (counting.at < 0)
		return;
	round_go(&counting);
	if (counting.at < 0)
		put(&end);
}

int report_work(uint64_t now)
{
	bool all;
	int r;

	pthread_mutex_lock(&lock);
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
	r = flush();
	if (r && r != -EAGAIN) {
		lost(now);
		return pause_ms;
	}
	pthread_mutex_lock(&lock);
	retry_ms = 0;
	pause_ms = RETRY_MS;
	due_ms = n || again || telling.at >= 0 || counting.at >= 0 ? now + DELAY_MS : 0;
	r = due_ms ? DELAY_MS : -1;
	pthread_mutex_unlock(&lock);
	return r;
}

void report_ready(void)
{
	char what;
	int r;

	for (;;) {
		pthread_mutex_lock(&sending);
		r = channel_receive(&what);
		pthread_mutex_unlock(&sending);
		if (r <= 0)
			break;
		if (what != MESSAGE_ASK)
			continue;
		counting.at = 0;
		pthread_mutex_lock(&lock);
		due_ms = now_ms();
		pthread_mutex_unlock(&lock);
	}
	if (r == -EAGAIN)
		return;
	/* A daemon that was replaced, or is started again. */
	lost(now_ms());
}

void report_finish(void)
{
	bool any;

	pthread_mutex_lock(&lock);
	any = n;
	pthread_mutex_unlock(&lock);
	if (any)
		flush();
}

void report_forking(void)
{
	pthread_mutex_lock(&sending);
	pthread_mutex_lock(&lock);
}

void report_fork_done(void)
{
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&sending);
}

void report_forked(void)
{
	pthread_mutex_init(&sending, NULL);
	pthread_mutex_init(&lock, NULL);
	channel_forked();
	first = n = 0;
	due_ms = retry_ms = 0;
	pause_ms = RETRY_MS;
	again = false;
	telling.at = counting.at = -1;
	atomic_store(&conn_unknown, atomic_load(&table_end) > 0);
}
