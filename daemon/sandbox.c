// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/sandbox.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41 /* glibc names its arenas */
#endif

/* Names, because libseccomp knows which of them an architecture has. */
static const char *const allowed[] = {
	/* connections */
	"accept",
	"accept4",
	"bind",
	"connect",
	"getpeername",
	"getsockname",
	"getsockopt",
	"listen",
	"recvfrom",
	"recvmmsg",
	"recvmsg",
	"sendmmsg",
	"sendmsg",
	"sendto",
	"setsockopt",
	"shutdown",
	"socketpair",
	"splice",
	"tee",
	/* descriptors and waiting */
	"close",
	"close_range",
	"dup",
	"dup2",
	"dup3",
	"epoll_create1",
	"epoll_ctl",
	"epoll_pwait",
	"epoll_pwait2",
	"epoll_wait",
	"eventfd2",
	"fcntl",
	"lseek",
	"pipe2",
	"poll",
	"ppoll",
	"pread64",
	"pselect6",
	"pwrite64",
	"read",
	"readv",
	"select",
	"signalfd4",
	"timerfd_create",
	"timerfd_gettime",
	"timerfd_settime",
	"write",
	"writev",
	/* files: configuration, key log, what stands in the run directory */
	"access",
	"faccessat",
	"faccessat2",
	"flock",
	"fstat",
	"fstatfs",
	"getcwd",
	"getdents64",
	"mkdir",
	"mkdirat",
	"newfstatat",
	"open",
	"openat",
	"readlink",
	"readlinkat",
	"rename",
	"renameat",
	"renameat2",
	"stat",
	"statfs",
	"statx",
	"umask",
	"unlink",
	"unlinkat",
	/* memory; with mmap and mprotect below */
	"brk",
	"madvise",
	"mincore",
	"mlock",
	"mlock2",
	"mremap",
	"munlock",
	"munmap",
	/* threads */
	"exit",
	"futex",
	"futex_waitv",
	"get_robust_list",
	"getcpu",
	"gettid",
	"membarrier",
	"rseq",
	"sched_getaffinity",
	"sched_getparam",
	"sched_getscheduler",
	"sched_setaffinity",
	"sched_yield",
	"set_robust_list",
	"set_tid_address",
	"sigaltstack",
	/* the process */
	"exit_group",
	"getegid",
	"geteuid",
	"getgid",
	"getgroups",
	"getpgrp",
	"getpid",
	"getppid",
	"getresgid",
	"getresuid",
	"getrlimit",
	"getrusage",
	"getuid",
	"restart_syscall",
	"rt_sigaction",
	"rt_sigpending",
	"rt_sigprocmask",
	"rt_sigreturn",
	"rt_sigsuspend",
	"rt_sigtimedwait",
	"sysinfo",
	"times",
	"uname",
	/* time and chance */
	"clock_getres",
	"clock_gettime",
	"clock_nanosleep",
	"getrandom",
	"gettimeofday",
	"nanosleep",
	"time",
};

/* Nothing that belongs here makes these. */
static const char *const deadly[] = {
	"acct",
	"add_key",
	"bpf_token_create",
	"chroot",
	"delete_module",
	"execve",
	"execveat",
	"finit_module",
	"fsconfig",
	"fsmount",
	"fsopen",
	"fspick",
	"init_module",
	"io_uring_setup",
	"ioperm",
	"iopl",
	"kexec_file_load",
	"kexec_load",
	"keyctl",
	"mount",
	"mount_setattr",
	"move_mount",
	"open_by_handle_at",
	"open_tree",
	"perf_event_open",
	"pivot_root",
	"process_vm_readv",
	"process_vm_writev",
	"ptrace",
	"reboot",
	"request_key",
	"setns",
	"swapoff",
	"swapon",
	"umount2",
	"unshare",
	"userfaultfd",
};

/* Calls that are allowed where (argument & mask) == value. Arguments of 32 bits: the kernel does
 * not look at the others. */
static const struct {
	const char *name;
	unsigned int argument;
	uint32_t mask, value;
} restricted[] = {
	{ "socket", 0, UINT32_MAX, AF_INET },
	{ "socket", 0, UINT32_MAX, AF_INET6 },
	{ "socket", 0, UINT32_MAX, AF_UNIX },
	/* maps that are open; and libbpf, attaching a program that is loaded */
	{ "bpf", 0, UINT32_MAX, BPF_MAP_LOOKUP_ELEM },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_UPDATE_ELEM },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_DELETE_ELEM },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_GET_NEXT_KEY },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_LOOKUP_AND_DELETE_ELEM },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_LOOKUP_BATCH },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_UPDATE_BATCH },
	{ "bpf", 0, UINT32_MAX, BPF_MAP_DELETE_BATCH },
	{ "bpf", 0, UINT32_MAX, BPF_OBJ_GET_INFO_BY_FD },
	{ "bpf", 0, UINT32_MAX, BPF_ITER_CREATE },
	{ "bpf", 0, UINT32_MAX, BPF_LINK_UPDATE }, /* an upgrade, and when it fails */
	{ "ioctl", 1, UINT32_MAX, SIOCATMARK },
	/* the guards, of policy and of programs that encrypt by themselves: when the first comes for which
	 * there must be one */
	{ "bpf", 0, UINT32_MAX, BPF_LINK_CREATE },
	{ "bpf", 0, UINT32_MAX, BPF_OBJ_PIN },
	{ "ioctl", 1, UINT32_MAX, SIOCOUTQ },
	{ "ioctl", 1, UINT32_MAX, SIOCOUTQNSD },
	{ "ioctl", 1, UINT32_MAX, FIONREAD },
	{ "ioctl", 1, UINT32_MAX, FIONBIO },
	{ "ioctl", 1, UINT32_MAX, TCGETS },
	{ "prctl", 0, UINT32_MAX, PR_SET_NAME },
	{ "prctl", 0, UINT32_MAX, PR_SET_VMA },
	/* threads, never processes */
	{ "clone", 0, CLONE_THREAD, CLONE_THREAD },
	/* no new code */
	{ "mmap", 2, PROT_EXEC, 0 },
	{ "mprotect", 2, PROT_EXEC, 0 },
};

static int add(scmp_filter_ctx filter, uint32_t action, const char *name)
{
	int call = seccomp_syscall_resolve_name(name);

	/* One that this libseccomp has not heard of is refused like all others. */
	return call == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, action, call, 0);
}

static int restricted_add(scmp_filter_ctx filter, size_t i)
{
	const struct scmp_arg_cmp compare = { .arg = restricted[i].argument,
					      .op = SCMP_CMP_MASKED_EQ,
					      .datum_a = restricted[i].mask,
					      .datum_b = restricted[i].value };
	int call = seccomp_syscall_resolve_name(restricted[i].name);

	return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call, 1, &compare);
}

/* Netlink for interfaces and filters on them, and to end a socket (engine_destroy()): not for
 * netfilter, IPsec and the like. */
static int netlink_add(scmp_filter_ctx filter, uint32_t protocol)
{
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
				SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK, 0),
				SCMP_A2_32(SCMP_CMP_EQ, protocol, 0));
}

/* Calls about this process only. */
static int own_add(scmp_filter_ctx filter)
{
	int error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
				     SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)getpid(), 0));

	return error ? error
		     : seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), 1,
					SCMP_A0_32(SCMP_CMP_EQ, 0, 0));
}

static int rules_add(scmp_filter_ctx filter)
{
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(allowed) / sizeof(allowed[0]); i++)
		error = add(filter, SCMP_ACT_ALLOW, allowed[i]);
	for (size_t i = 0; !error && i < sizeof(deadly) / sizeof(deadly[0]); i++)
		error = add(filter, SCMP_ACT_KILL_PROCESS, deadly[i]);
	for (size_t i = 0; !error && i < sizeof(restricted) / sizeof(restricted[0]); i++)
		error = restricted_add(filter, i);
	if (!error)
		error = netlink_add(filter, NETLINK_ROUTE);
	if (!error)
		error = netlink_add(filter, NETLINK_SOCK_DIAG);
	if (!error)
		error = own_add(filter);
	/* Its arguments are in memory, where a filter does not see them: glibc takes clone(). */
	return error ? error
		     : seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
}

int sandbox_enter(void)
{
	scmp_filter_ctx filter;
	int error;

	if (SANDBOX_SANITIZED)
		return SANDBOX_NONE;
	filter = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!filter)
		return -ENOMEM;
	error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!error)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
	if (!error)
		error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (!error)
		error = rules_add(filter);
	if (!error)
		error = seccomp_load(filter);
	seccomp_release(filter);
	return error;
}
