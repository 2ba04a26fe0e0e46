// SPDX-License-Identifier: BSD-2-Clause
/*
 * libsodium is the program's as well, if it uses it. sodium_init() says 1 to whoever comes second, and
 * programs take that for a failure (Dovecot does): the program is told what it would be if it were alone.
 * The linker leads this library's own call to the other name.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "inproc/calls.h"

int sodium_init(void);
int __wrap_sodium_init(void);

static atomic_bool is_ours; /* nobody else was first */

static int following(void)
{
	int (*init)(void);

	*(void **)&init = dlsym(RTLD_NEXT, "sodium_init");
	return init ? init() : -1;
}

int __wrap_sodium_init(void)
{
	const int r = following();

	if (!r)
		atomic_store(&is_ours, true);
	return r;
}

CALL int sodium_init(void)
{
	const int r = following();

	return r == 1 && atomic_exchange(&is_ours, false) ? 0 : r;
}
