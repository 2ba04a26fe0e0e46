/* SPDX-License-Identifier: BSD-2-Clause */
/* What the cases of `calls` have in common: see calls.c. */
#ifndef CALLS_H
#define CALLS_H

#include <sys/types.h>

/* What the call returned, or its error; and what is in the buffer. */
void tell(const char *what, ssize_t result, const char *buffer);

/* A connection to the echo server. */
int connected(void);

void send_text(int fd, const char *text);

/* The next len bytes of the echo. */
void echoed(const char *what, int fd, size_t len);
void all_has_come(int fd, int len);

/* Until not one byte more is taken, now or in a moment. */
void fill(int fd);

/* Unknown to the compiler, so that it asks the fortified function. */
size_t run_time(size_t n);

/* calls_odd.c */
void peeks_case(void);
void pieces_case(void);
void nothing_case(void);
void limits_case(void);
void forms_case(void);
void together_case(void);
void partial_case(void);
void refused_case(void);
void taken_case(void);
void copies_case(void);

#endif
