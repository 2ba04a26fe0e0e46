/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of `spawn` have in common: see spawn.c. */
#ifndef TEST_SPAWNS_H
#define TEST_SPAWNS_H

#include <netinet/in.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>

#define SAY 8 /* where children write to */

extern struct sockaddr_in server; /* port 0: none */
extern const char *program;	  /* this one */

/* Has any handler run? */
extern volatile sig_atomic_t handled;
void handle(int number);

_Noreturn void fail(const char *what);

/* An echo; where there is no server nothing that anybody reads. */
int connected(void);
void echoed(int fd, const char *text);

/* What the call has returned; and how the child ends. */
void ended(const char *what, int r, pid_t pid);

void spawn(const char *what, const posix_spawn_file_actions_t *actions,
	   const posix_spawnattr_t *attributes, const char *const *args);
void spawn_state(const char *what, const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attributes);

static inline char *const *vector(const char *const *args)
{
	return (char *const *)(uintptr_t)args;
}

/* Children; they return how they end. */
int talk(char **args);
int state(void);

/* Cases. */
void errors_case(void);
void shells_case(void);
void pidfd_case(void);
void threads_case(void);

#endif
