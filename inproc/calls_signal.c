// SPDX-License-Identifier: BSD-2-Clause
/*
 * Handlers of signals. The kernel runs them between system calls; a handler that interrupts this
 * library with a connection's lock could neither read nor write there, and one that jumps out would
 * take the lock along. So those that come in a section (section.h) run at its end, which is near:
 * nothing waits there. All others run at once.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "inproc/calls.h"
#include "inproc/calls_signal.h"
#include "inproc/next.h"
#include "inproc/section.h"

#define KERNEL_SET_SIZE ((size_t)_NSIG / 8) /* glibc's sigset_t is larger than what a frame has */

typedef void handler_function(int, siginfo_t *, void *);

/* The program's own, as far as it has any. */
static _Atomic(void *) handlers[_NSIG];
static atomic_int flags_of[_NSIG];

/* The signal that waits for the section's end. One at most: then the others wait in the kernel. */
static __thread struct {
	siginfo_t info;
	sigset_t mask; /* the thread's own */
} later;

static __thread unsigned int handled;

unsigned int signals_handled(void)
{
	return handled;
}

void signals_forget(void)
{
	handled = 0;
}

static void call(int number, siginfo_t *info, void *context)
{
	void *handler = atomic_load(&handlers[number]);
	const int flags = atomic_load(&flags_of[number]);
	const unsigned int before = handled;

	if (flags & SA_SIGINFO)
		((handler_function *)handler)(number, info, context);
	else
		((void (*)(int))handler)(number);
	/* The handler's own calls do not count. */
	handled = before | (flags & SA_RESTART ? SIGNALS_RESTART : SIGNALS_INTERRUPT);
}

/* What the thread's own instructions cause cannot wait, or they would cause it again. */
static bool is_fault(int number)
{
	return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL ||
	       number == SIGTRAP || number == SIGSYS || number == SIGABRT;
}

static bool can_wait(int number, const siginfo_t *info)
{
	return !is_fault(number) || (info->si_code <= 0 && number != SIGABRT);
}

static void handle(int number, siginfo_t *info, void *context);

/* With SA_RESETHAND the kernel has taken the handler away as it was called. */
static void put_back(int number)
{
	const int flags = atomic_load(&flags_of[number]);
	struct sigaction action;

	if (!(flags & SA_RESETHAND) || next()->sigaction(number, NULL, &action) ||
	    action.sa_handler != SIG_DFL)
		return;
	action.sa_sigaction = handle;
	action.sa_flags = flags | SA_SIGINFO;
	next()->sigaction(number, &action, NULL);
}

/* Sends the signal once more, to this thread, and lets it come. */
static void deliver(void)
{
	const sigset_t mask = later.mask;
	const int number = later.info.si_signo, saved = errno;

	put_back(number);
	if (next()->syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), number, &later.info))
		next()->syscall(SYS_tgkill, getpid(), gettid(), number);
	/* Whatever comes now may come in a section again. */
	next()->syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, KERNEL_SET_SIZE);
	errno = saved;
}

static void defer(const siginfo_t *info, ucontext_t *context)
{
	sigset_t all;

	later.info = *info;
	memcpy(&later.mask, &context->uc_sigmask, KERNEL_SET_SIZE);
	/* As it is from the handler's return on. The C library's own two are not in a full set. */
	sigfillset(&all);
	for (int number = 1; number <= SIGSYS; number++)
		if (is_fault(number))
			sigdelset(&all, number);
	memcpy(&context->uc_sigmask, &all, KERNEL_SET_SIZE);
	section_behind = deliver;
}

static void handle(int number, siginfo_t *info, void *context)
{
	if (sections && !section_behind && can_wait(number, info))
		defer(info, context);
	else
		call(number, info, context);
}

void signals_forked(void)
{
	if (!section_behind)
		return;
	/* It was sent to the parent. */
	section_behind = NULL;
	next()->syscall(SYS_rt_sigprocmask, SIG_SETMASK, &later.mask, NULL, KERNEL_SET_SIZE);
}

static bool is_handler(const struct sigaction *action)
{
	return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN &&
	       action->sa_sigaction != handle;
}

static bool is_number(int number)
{
	return number > 0 && number < _NSIG;
}

/* As the program knows it. */
static void unwrap(struct sigaction *action, void *handler, int flags)
{
	if (action->sa_sigaction != handle)
		return;
	*(void **)&action->sa_sigaction = handler;
	if (!(flags & SA_SIGINFO))
		action->sa_flags &= ~SA_SIGINFO;
}

CALL int sigaction(int number, const struct sigaction *restrict action,
		   struct sigaction *restrict old)
{
	struct sigaction ours, before;
	void *handler;
	int flags, r;

	if (!is_number(number))
		return next()->sigaction(number, action, old);
	handler = atomic_load(&handlers[number]);
	flags = atomic_load(&flags_of[number]);
	if (action)
		ours = *action;
	if (action && is_handler(action)) {
		/* It may come as soon as the kernel knows. */
		atomic_store(&flags_of[number], action->sa_flags);
		atomic_store(&handlers[number], *(void *const *)&action->sa_sigaction);
		ours.sa_sigaction = handle;
	}
	if (action && ours.sa_sigaction == handle)
		ours.sa_flags |= SA_SIGINFO;
	r = next()->sigaction(number, action ? &ours : NULL, &before);
	if (r) {
		atomic_store(&handlers[number], handler);
		atomic_store(&flags_of[number], flags);
		return r;
	}
	unwrap(&before, handler, flags);
	if (old)
		*old = before;
	return 0;
}

int __sigaction(int number, const struct sigaction *restrict action,
		struct sigaction *restrict old);

CALL int __sigaction(int number, const struct sigaction *restrict action,
		     struct sigaction *restrict old)
{
	return sigaction(number, action, old);
}

/* The C library has set a handler, or changed its flags: ours in its place. */
static void wrap(int number)
{
	struct sigaction action;
	int flags;

	if (!is_number(number) || next()->sigaction(number, NULL, &action))
		return;
	flags = atomic_load(&flags_of[number]);
	if (action.sa_sigaction == handle)
		atomic_store(&flags_of[number],
			     (action.sa_flags & ~SA_SIGINFO) | (flags & SA_SIGINFO));
	else if (is_handler(&action))
		sigaction(number, &action, NULL);
}

static sighandler_t set(sighandler_t (*following)(int, sighandler_t), int number,
			sighandler_t handler)
{
	void *before = is_number(number) ? atomic_load(&handlers[number]) : NULL;
	sighandler_t r = following(number, handler);

	wrap(number);
	if (*(void **)&r == *(void *[]){ (void *)(uintptr_t)handle })
		*(void **)&r = before;
	return r;
}

CALL sighandler_t signal(int number, sighandler_t handler)
{
	return set(next()->signal, number, handler);
}

CALL sighandler_t ssignal(int number, sighandler_t handler)
{
	return set(next()->signal, number, handler);
}

sighandler_t bsd_signal(int number, sighandler_t handler);

CALL sighandler_t bsd_signal(int number, sighandler_t handler)
{
	return set(next()->signal, number, handler);
}

CALL sighandler_t sysv_signal(int number, sighandler_t handler)
{
	return set(next()->sysv_signal, number, handler);
}

sighandler_t __sysv_signal(int number, sighandler_t handler);

CALL sighandler_t __sysv_signal(int number, sighandler_t handler)
{
	return set(next()->sysv_signal, number, handler);
}

CALL sighandler_t sigset(int number, sighandler_t handler)
{
	return set(next()->sigset, number, handler);
}

CALL int siginterrupt(int number, int interrupts)
{
	int r = next()->siginterrupt(number, interrupts);

	if (!r)
		wrap(number);
	return r;
}
