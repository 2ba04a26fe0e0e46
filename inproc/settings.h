/* SPDX-License-Identifier: BSD-2-Clause */
/* What this process was told by `tcpcrypt run` and by the engine. */
#ifndef INPROC_SETTINGS_H
#define INPROC_SETTINGS_H

#include <stdbool.h>

/* Is there an engine, and is everything else there? Finds out at the first call. */
bool settings_on(void);

/* Nothing is negotiated from now on: the program does its I/O in ways that we do not see. */
void settings_off(void);

#endif
