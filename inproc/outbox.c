// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/outbox.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>

#include "inproc/channel.h"

#define QUEUE_MAX 4096

struct queue {
	struct message message[QUEUE_MAX];
};

/* A signal handler that interrupts who has one of them tells nothing. */
static pthread_mutex_t sending = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP; /* the channel; first */
static pthread_mutex_t lock = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;
static struct queue *queue; /* once there is something to tell */
static size_t first, n;

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

bool outbox_put(const struct message *m)
{
	bool done;

	if (pthread_mutex_lock(&lock))
		return false;
	done = queue_make() && n < QUEUE_MAX;
	if (done)
		queue->message[(first + n++) % QUEUE_MAX] = *m;
	pthread_mutex_unlock(&lock);
	return done;
}

static size_t count(void)
{
	size_t now;

	if (pthread_mutex_lock(&lock))
		return QUEUE_MAX;
	now = n;
	pthread_mutex_unlock(&lock);
	return now;
}

bool outbox_is_half_full(void)
{
	return count() > QUEUE_MAX / 2;
}

bool outbox_is_empty(void)
{
	return !count();
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
	/* The same pages again. */
	if (!n)
		first = 0;
}

/* With sending. */
static int send_all(struct message batch[static MESSAGES_MAX])
{
	size_t len;
	int r = channel_open();

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
	return r;
}

int outbox_send(void)
{
	static struct message batch[MESSAGES_MAX];
	int r = -pthread_mutex_lock(&sending);

	if (r)
		return -EAGAIN;
	r = send_all(batch);
	explicit_bzero(batch, sizeof(batch));
	pthread_mutex_unlock(&sending);
	return r;
}

void outbox_drop(void)
{
	if (pthread_mutex_lock(&sending))
		return;
	pthread_mutex_lock(&lock);
	batch_drop(n);
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&sending);
}

int outbox_receive(struct message_question *ret)
{
	int r;

	if (pthread_mutex_lock(&sending))
		return -EAGAIN;
	r = channel_receive(ret);
	pthread_mutex_unlock(&sending);
	return r;
}

void outbox_forking(void)
{
	pthread_mutex_lock(&sending);
	pthread_mutex_lock(&lock);
}

void outbox_fork_done(void)
{
	pthread_mutex_unlock(&lock);
	pthread_mutex_unlock(&sending);
}

void outbox_forked(void)
{
	static const pthread_mutex_t fresh = PTHREAD_ERRORCHECK_MUTEX_INITIALIZER_NP;

	memcpy(&sending, &fresh, sizeof(sending));
	memcpy(&lock, &fresh, sizeof(lock));
	channel_forked();
	first = n = 0;
}
