/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The system calls that the daemon makes once it has started. All others fail with EPERM and
 * are logged by the kernel: a call that was forgotten must not cut every connection of a host.
 * Those that only somebody would make who has taken over the daemon end it.
 */
#ifndef DAEMON_SANDBOX_H
#define DAEMON_SANDBOX_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANDBOX_SANITIZED 1
#elif defined(__has_feature)
#define SANDBOX_SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define SANDBOX_SANITIZED 0
#endif

enum sandbox_outcome {
	SANDBOX_NONE = 1, /* sanitizers trace threads and look at /proc: not with a filter */
};

/* For every thread, those that come later included. 0, SANDBOX_NONE or a negative errno. */
int sandbox_enter(void);

#endif
