// SPDX-License-Identifier: BSD-2-Clause
/*
 * What a thread does to its own rights only: capabilities, filters of system calls. The helper is a thread, too,
 * and would keep what the program gives up; and where the C library changes the user of all threads it ends
 * the process if one of them may not (proftpd's sessions ended so). So it ends before, and is begun again by
 * the thread that has become another.
 */
#include <linux/capability.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "inproc/calls.h"
#include "inproc/calls_confine.h"
#include "inproc/helper.h"
#include "inproc/next.h"

#define ARGUMENTS 4

/* False: not a thread's rights. */
static bool confines(int option)
{
	switch (option) {
	case PR_SET_SECCOMP:
	case PR_SET_NO_NEW_PRIVS:
	case PR_SET_KEEPCAPS:
	case PR_SET_SECUREBITS:
	case PR_CAPBSET_DROP:
	case PR_CAP_AMBIENT:
		return true;
	default:
		return false;
	}
}

static bool is_confining(long number, const long *a)
{
	switch (number) {
	case SYS_prctl:
		return confines(a[0]);
	case SYS_capset:
	case SYS_seccomp:
	case SYS_setuid:
	case SYS_setgid:
	case SYS_setreuid:
	case SYS_setregid:
	case SYS_setresuid:
	case SYS_setresgid:
	case SYS_setgroups:
	case SYS_landlock_restrict_self:
		return true;
	default:
		return false;
	}
}

/* Did the helper run? filters: system calls, so that perhaps no thread can begin. */
static bool begin(bool filters)
{
	if (filters)
		helper_finish();
	return helper_stop();
}

static void end(bool ran, bool filters)
{
	if (ran && !filters)
		helper_wake();
}

bool calls_confine(long number, const long *a, long *ret)
{
	const bool filters = number == SYS_seccomp ||
			     (number == SYS_prctl && a[0] == PR_SET_SECCOMP);
	bool ran;

	if (!is_confining(number, a))
		return false;
	ran = begin(filters);
	*ret = next()->syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
	end(ran, filters);
	return true;
}

/* The C library declares it nowhere. */
int capset(cap_user_header_t header, const cap_user_data_t data);

CALL int capset(cap_user_header_t header, const cap_user_data_t data)
{
	const bool ran = begin(false);
	const int r = next()->capset(header, data);

	end(ran, false);
	return r;
}

CALL int prctl(int option, ...)
{
	const bool filters = option == PR_SET_SECCOMP;
	unsigned long a[ARGUMENTS];
	bool ran = false;
	va_list ap;
	int r;

	va_start(ap, option);
	for (int i = 0; i < ARGUMENTS; i++)
		a[i] = va_arg(ap, unsigned long);
	va_end(ap);
	if (confines(option))
		ran = begin(filters);
	r = next()->prctl(option, a[0], a[1], a[2], a[3]);
	end(ran, filters);
	return r;
}
