/* SPDX-License-Identifier: BSD-2-Clause */
/* Locks in memory that processes share, any of which may be killed with one in its hands. */
#ifndef INPROC_ROBUST_H
#define INPROC_ROBUST_H

#include <pthread.h>

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

#endif
