/* SPDX-License-Identifier: BSD-2-Clause */
/* What `run` and `enable` need to know about in-process mode. */
#ifndef CLI_INPROC_H
#define CLI_INPROC_H

/* The library to load into programs; TCPCRYPT_INPROC_LIBRARY names another one. */
const char *inproc_library(void);

/* Is there an engine in this network namespace? 0, or a negative errno value. */
int inproc_engine(void);

/*
 * Can the library serve this program? NULL when it can, or why not: a static text. path is what
 * execve() would get; of a script its interpreter counts.
 */
const char *servable_reason(const char *path);

#endif
