// SPDX-License-Identifier: BSD-2-Clause
/* How processes begin and end. */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "inproc/arena.h"
#include "inproc/calls.h"
#include "inproc/calls_signal.h"
#include "inproc/helper.h"
#include "inproc/keys.h"
#include "inproc/next.h"
#include "inproc/plain.h"
#include "inproc/section.h"
#include "inproc/spawn_child.h"
#include "inproc/vessel.h"

/* The end of the process closes everything; that of a child after vfork(), nothing. */
static void finish(void)
{
	if (!table_is_own())
		return;
	table_ending();
	helper_finish();
}

__attribute__((destructor(101))) static void at_exit(void)
{
	/* The C library does so later, when there are no connections any more. */
	calls_streams_flush();
	finish();
}

/* Registered before the program's own handlers, it is called after them. */
__attribute__((constructor(104))) static void quick_prepare(void)
{
	at_quick_exit(finish);
}

CALL void _exit(int status)
{
	finish();
	next()->_exit(status);
	__builtin_unreachable();
}

CALL void _Exit(int status)
{
	_exit(status);
}

static void forking(void)
{
	section_enter();
	table_forking();
	helper_forking();
	vessel_forking();
	spawn_forking();
}

static void fork_done(void)
{
	spawn_fork_done();
	vessel_fork_done();
	helper_fork_done();
	table_fork_done();
	section_leave();
}

static void forked(void)
{
	table_forked();
	vessel_forked();
	helper_forked();
	arena_forked();
	keys_forked();
	plain_forked();
	signals_forked();
	section_leave();
}

/*
 * pthread_atfork() in the name of a library that is never unloaded: that way the handlers stay when exit()
 * comes to this one, and a thread that forks at that time does not keep all locks, which the end needs.
 * (Linux Standard Base; glibc has it for this.)
 */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
		      void *library);

/* The C library's own calls of fork() come by here only. */
__attribute__((constructor(103))) static void fork_prepare(void)
{
	__register_atfork(forking, fork_done, forked, NULL);
}

CALL pid_t fork(void)
{
	struct table_references references = {};
	pid_t pid;

	table_fork_begin(&references);
	pid = next()->fork();
	table_fork_end(&references, pid);
	return pid;
}

static pid_t fork_instead(void)
{
	return fork();
}

/*
 * A child that has its parent's memory could not prepare what it leaves to another program without
 * doing so for its parent as well, whose other threads go on. So where there are connections
 * vfork() is fork(). It can only be called as the last thing, because it returns twice.
 */
pid_t (*vfork_choose(void))(void);

__attribute__((used)) pid_t (*vfork_choose(void))(void)
{
	for (int fd = 0; fd < atomic_load(&table_end); fd++)
		if (table_get(fd))
			return fork_instead;
	return next()->vfork;
}

#if defined(__x86_64__)
__asm__(".text\n"
	".globl vfork\n"
	".type vfork, @function\n"
	".p2align 4\n"
	"vfork:\n"
	"	.cfi_startproc\n"
	"	endbr64\n"
	"	sub $8, %rsp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	call vfork_choose\n"
	"	add $8, %rsp\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	jmp *%rax\n"
	"	.cfi_endproc\n"
	".size vfork, .-vfork\n");
#elif defined(__aarch64__)
__asm__(".text\n"
	".globl vfork\n"
	".type vfork, %function\n"
	".p2align 4\n"
	"vfork:\n"
	"	hint 34\n"
	"	stp x29, x30, [sp, -16]!\n"
	"	bl vfork_choose\n"
	"	ldp x29, x30, [sp], 16\n"
	"	mov x16, x0\n"
	"	br x16\n"
	".size vfork, .-vfork\n");
#else
CALL pid_t vfork(void)
{
	return fork();
}
#endif

/* The C library's parent would leave by an _exit() that nobody sees. */
CALL int daemon(int keeps_directory, int keeps_output)
{
	int null;

	switch (fork()) {
	case -1:
		return -1;
	case 0:
		break;
	default:
		_exit(EXIT_SUCCESS);
	}
	if (setsid() < 0 || (!keeps_directory && chdir("/")))
		return -1;
	if (keeps_output)
		return 0;
	null = open("/dev/null", O_RDWR);
	if (null < 0)
		return -1;
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	if (null > STDERR_FILENO)
		close(null);
	return 0;
}
