/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where a thread has locks of this library: it is not cancelled there, and the program's handlers
 * of signals, which may call the library or jump out of it, run behind it (calls_signal.c).
 */
#ifndef INPROC_SECTION_H
#define INPROC_SECTION_H

#include <signal.h>

/* How many sections this thread is in. */
extern __thread volatile sig_atomic_t sections;

/* What the last one ends with, once; NULL: nothing. */
extern __thread void (*volatile section_behind)(void);

/* They nest; nothing waits in between. */
void section_enter(void);
void section_leave(void);

#endif
