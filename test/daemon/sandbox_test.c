// SPDX-License-Identifier: BSD-2-Clause
/* Goal of this test: behind the filter the daemon's calls go on working, a forgotten one gets
 * EPERM, and one that only an intruder makes ends the process. */
#include "daemon/sandbox.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "test/unit/unit.h"

enum { ENTER_FAILED = 99 };

/* Runs call() behind the filter, in a process of its own; its status as of waitpid(). */
static int confined(int (*call)(void))
{
	const struct rlimit none = { 0, 0 };
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		setrlimit(RLIMIT_CORE, &none);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(sandbox_enter() ? ENTER_FAILED : call());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* The exit status is errno. */
static void assert_refused(int (*call)(void))
{
	int status = confined(call);

	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EPERM);
}

static void assert_killed(int (*call)(void))
{
	int status = confined(call);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGSYS);
}

static void *thread(void *data)
{
	void *grown = malloc(1 << 20);

	*(int *)data = grown != NULL;
	free(grown);
	return NULL;
}

/* Threads with memory of their own; names; descriptors; sockets. */
static int ordinary(void)
{
	pthread_t t;
	int ran = 0;

	if (pthread_create(&t, NULL, thread, &ran) || pthread_join(t, NULL) || !ran)
		return 1;
	if (prctl(PR_SET_NAME, "confined") || socket(AF_INET6, SOCK_STREAM, 0) < 0 ||
	    socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE) < 0)
		return 2;
	return 0;
}

/* What the relay asks its sockets. */
static int relay_questions(void)
{
	static const unsigned long questions[] = { SIOCATMARK, SIOCOUTQ, SIOCOUTQNSD };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int answer;

	for (size_t i = 0; i < sizeof(questions) / sizeof(questions[0]); i++)
		if (ioctl(fd, questions[i], &answer))
			return 1 + (int)i;
	return 0;
}

static int call_packet(void)
{
	return socket(AF_PACKET, SOCK_RAW, 0) < 0 ? errno : 0;
}

static int call_netfilter(void)
{
	return socket(AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER) < 0 ? errno : 0;
}

static int call_execve(void)
{
	char *none[] = { NULL };

	execve("/bin/true", none, none);
	return 0;
}

static int call_ptrace(void)
{
	return ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0 ? errno : 0;
}

static int call_mount(void)
{
	return syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL) < 0 ? errno : 0;
}

static int call_init_module(void)
{
	return syscall(SYS_finit_module, -1, "", 0) < 0 ? errno : 0;
}

static int call_unshare(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? errno : 0;
}

static int call_bpf_load(void)
{
	union bpf_attr attr = { .prog_type = BPF_PROG_TYPE_SOCKET_FILTER };

	return syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr)) < 0 ? errno : 0;
}

/* A process, which is a clone() that is no thread. */
static int call_fork(void)
{
	pid_t pid = fork();

	if (!pid)
		_exit(0);
	return pid < 0 ? errno : 0;
}

static int call_kill(void)
{
	return kill(getppid(), SIGCONT) < 0 ? errno : 0;
}

static int call_mmap_exec(void)
{
	void *code = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return code == MAP_FAILED ? errno : 0;
}

static int call_setuid(void)
{
	return syscall(SYS_setuid, 0) < 0 ? errno : 0;
}

static int call_prlimit(void)
{
	struct rlimit ours;

	/* That of another process. */
	return prlimit(getppid(), RLIMIT_NOFILE, NULL, &ours) < 0 ? errno : 0;
}

static void own_calls_go_on(void **state)
{
	int (*const own[])(void) = { ordinary, relay_questions };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		int status = confined(own[i]);

		assert_true(WIFEXITED(status));
		assert_int_equal(WEXITSTATUS(status), 0);
	}
}

static void others_are_refused(void **state)
{
	assert_refused(call_packet);
	assert_refused(call_netfilter);
	assert_refused(call_bpf_load);
	assert_refused(call_fork);
	assert_refused(call_kill);
	assert_refused(call_mmap_exec);
	assert_refused(call_setuid);
	assert_refused(call_prlimit);
}

static void intruders_end(void **state)
{
	assert_killed(call_execve);
	assert_killed(call_ptrace);
	assert_killed(call_mount);
	assert_killed(call_init_module);
	assert_killed(call_unshare);
}

/* A thread that is there already is behind the filter, too. */
struct early {
	pthread_barrier_t entered;
	int error;
};

static void *early_thread(void *data)
{
	struct early *early = data;

	pthread_barrier_wait(&early->entered);
	early->error = call_packet();
	return NULL;
}

static int enter_late(void)
{
	static struct early early;
	pthread_t t;

	pthread_barrier_init(&early.entered, NULL, 2);
	if (pthread_create(&t, NULL, early_thread, &early) || sandbox_enter())
		return ENTER_FAILED;
	pthread_barrier_wait(&early.entered);
	pthread_join(t, NULL);
	return early.error;
}

static void threads_are_included(void **state)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		_exit(enter_late());
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), EPERM);
}

static void sanitized_has_none(void **state)
{
	assert_int_equal(sandbox_enter(), SANDBOX_NONE);
}

int main(void)
{
	const struct CMUnitTest confined_tests[] = {
		cmocka_unit_test(own_calls_go_on),
		cmocka_unit_test(others_are_refused),
		cmocka_unit_test(intruders_end),
		cmocka_unit_test(threads_are_included),
	};
	const struct CMUnitTest sanitized_tests[] = { cmocka_unit_test(sanitized_has_none) };

	return SANDBOX_SANITIZED ? cmocka_run_group_tests(sanitized_tests, NULL, NULL)
				 : cmocka_run_group_tests(confined_tests, NULL, NULL);
}
