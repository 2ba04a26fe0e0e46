// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/section.h"

#include <pthread.h>
#include <stddef.h>

__thread volatile sig_atomic_t sections;
__thread void (*volatile section_behind)(void);

static __thread int cancel_state;

void section_enter(void)
{
	int state;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	if (!sections++)
		cancel_state = state;
}

void section_leave(void)
{
	/* Before a signal handler may come here, too. */
	const int state = cancel_state;
	void (*behind)(void);

	if (--sections)
		return;
	behind = section_behind;
	section_behind = NULL;
	pthread_setcancelstate(state, NULL);
	/* It may jump away. */
	if (behind)
		behind();
}
