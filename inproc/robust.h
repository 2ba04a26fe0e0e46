/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks in memory that processes share, any of which may be killed with one in its hands. */
#ifndef INPROC_ROBUST_H
#define INPROC_ROBUST_H

#include <errno.h>
#include <pthread.h>
#include <time.h>

#define ROBUST_WAIT_NS 50000000

static inline void robust_lock_make(pthread_mutex_t *lock)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	/* Who has it already is told so. */
	pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(lock, &attributes);
	pthread_mutexattr_destroy(&attributes);
}

/*
 * As pthread_mutex_lock(), but nobody waits for good: a waiter that is killed when it has just been woken takes
 * that along, where another one has come to the lock meanwhile who knows of no waiters. The kernel
 * passes it on only while nobody has the lock.
 */
static inline int robust_lock(pthread_mutex_t *lock)
{
	struct timespec until;
	int r = pthread_mutex_trylock(lock);

	while (r == EBUSY || r == ETIMEDOUT) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += ROBUST_WAIT_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		r = pthread_mutex_clocklock(lock, CLOCK_MONOTONIC, &until);
	}
	return r;
}

#endif
