/* SPDX-License-Identifier: BSD-2-Clause */
/* What `run` and `enable` need to know about in-process mode. */
#ifndef CLI_INPROC_H
#define CLI_INPROC_H

#include <stdbool.h>

/* The library to load into programs; TCPCRYPT_INPROC_LIBRARY names another one. */
const char *inproc_library(void);

/* ld.so starts programs without a library that it cannot preload, and says so at most on their standard
 * error. NULL, or why it will not preload this one. */
const char *inproc_library_unfit(void);

/* Has the next program that is executed load it, and tell the daemon in run_dir. False: no memory. */
bool inproc_preload(const char *run_dir);

/* Is there an engine in this network namespace? 0, or a negative errno value. */
int inproc_engine(void);

#endif
