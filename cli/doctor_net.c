/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt doctor: what the daemon needs of its network namespace. */
#include "doctor.h"

#include "engine/qdisc.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* A connection through the daemon takes two local ports. */
#define PORTS_MIN 4096

#define SYNCOOKIES_ALWAYS 2

static bool can_bind(int family, const void *address, socklen_t len)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool good = fd >= 0 && !bind(fd, address, len);

	if (fd >= 0)
		close(fd);
	return good;
}

static bool lo_is_up(void)
{
	struct ifreq request = { .ifr_name = "lo" };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = fd >= 0 && !ioctl(fd, SIOCGIFFLAGS, &request) && request.ifr_flags & IFF_UP;

	if (fd >= 0)
		close(fd);
	return up;
}

static void look_at_lo(struct doctor *d)
{
	const struct sockaddr_in v4 = { .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };

	if (!lo_is_up())
		doctor_say(d, "loopback", DOCTOR_LACKS, "ip link set lo up",
			   "lo is down: programs cannot reach the daemon");
	else if (!can_bind(AF_INET, &v4, sizeof(v4)))
		doctor_say(d, "loopback", DOCTOR_LACKS, "ip address add 127.0.0.1/8 dev lo",
			   "lo has no address 127.0.0.1");
	else
		doctor_say(d, "loopback", DOCTOR_GOOD, NULL, "lo is up");
}

/* Has an interface an IPv6 address with which other hosts could be reached? */
static bool has_ipv6(void)
{
	enum { SCOPE_GLOBAL = 0 };
	FILE *f = fopen("/proc/net/if_inet6", "re");
	unsigned int scope;
	char name[IF_NAMESIZE];
	bool found = false;

	while (f && !found && fscanf(f, "%*32s %*x %*x %x %*x %15s", &scope, name) == 2)
		found = scope == SCOPE_GLOBAL && strcmp(name, "lo");
	if (f)
		fclose(f);
	return found;
}

static void look_at_ipv6(struct doctor *d)
{
	const struct sockaddr_in6 v6 = { .sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	if (can_bind(AF_INET6, &v6, sizeof(v6)))
		doctor_say(d, "ipv6", DOCTOR_GOOD, NULL, "lo has ::1");
	else if (!has_ipv6())
		doctor_say(d, "ipv6", DOCTOR_GOOD, NULL, "not in use");
	else
		doctor_say(d, "ipv6", DOCTOR_LACKS,
			   "ip address add ::1/128 dev lo, and start tcpcryptd again",
			   "lo has no address ::1: IPv6 connections cannot be encrypted");
}

static void look_at_ports(struct doctor *d)
{
	FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	int first = 0, last = -1;
	bool good;

	if (f && fscanf(f, "%d %d", &first, &last) != 2)
		last = first - 1;
	if (f)
		fclose(f);
	good = last - first + 1 >= PORTS_MIN;
	doctor_say(d, "local-ports", good ? DOCTOR_GOOD : DOCTOR_LACKS,
		   "sysctl net.ipv4.ip_local_port_range=\"32768 60999\"",
		   "%d, and a connection through the daemon takes two", last - first + 1);
}

static void look_at_syncookies(struct doctor *d)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_syncookies", "re");
	int value = 0;

	if (!f || fscanf(f, "%d", &value) != 1)
		value = 0;
	if (f)
		fclose(f);
	if (value == SYNCOOKIES_ALWAYS)
		doctor_say(d, "syncookies", DOCTOR_LACKS, "sysctl net.ipv4.tcp_syncookies=1",
			   "every SYN is answered by a cookie: what comes in cannot be encrypted");
	else
		doctor_say(d, "syncookies", DOCTOR_GOOD, NULL, "in need only, or never");
}

static void look_at_raw(struct doctor *d)
{
	int fd;

	if (geteuid()) {
		doctor_say(d, "raw-socket", DOCTOR_UNKNOWN, "ask as root", "not looked at");
		return;
	}
	fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	if (fd < 0)
		doctor_say(d, "raw-socket", DOCTOR_LACKS, "tcpcryptd must start with CAP_NET_RAW",
			   "root may not open one: %s", strerror(errno));
	else
		doctor_say(d, "raw-socket", DOCTOR_GOOD, NULL, "root may open one");
	if (fd >= 0)
		close(fd);
}

/* A program that lets everything pass. */
static int program_load(void)
{
	static const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = -1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};

	return bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, NULL, "GPL", pass,
			     sizeof(pass) / sizeof(pass[0]), NULL);
}

/* Attaches it in a namespace that is nobody's, and ends with this process. */
static int tc_try(void)
{
	struct bpf_tc_hook hook = { .sz = sizeof(hook),
				    .ifindex = 1, /* lo: there is nothing else */
				    .attach_point = BPF_TC_INGRESS };
	struct bpf_tc_opts opts = { .sz = sizeof(opts) };
	int error;

	if (unshare(CLONE_NEWNET))
		return errno;
	opts.prog_fd = program_load();
	if (opts.prog_fd < 0)
		return errno;
	error = bpf_tc_hook_create(&hook);
	if (!error)
		error = bpf_tc_attach(&hook, &opts);
	return -error;
}

static void look_at_tc(struct doctor *d)
{
	int status = 0, error = ECHILD;
	pid_t pid;

	if (geteuid()) {
		doctor_say(d, "tc", DOCTOR_UNKNOWN, "ask as root", "not looked at");
		return;
	}
	fflush(stdout);
	pid = fork();
	if (!pid)
		_exit(tc_try());
	if (pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status))
		error = WEXITSTATUS(status);
	if (error)
		doctor_say(d, "tc", DOCTOR_LACKS,
			   "use a kernel with CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_ACT and "
			   "CONFIG_NET_CLS_BPF",
			   "a BPF program cannot be put on an interface: %s", strerror(error));
	else
		doctor_say(d, "tc", DOCTOR_GOOD, NULL, "BPF programs can be put on interfaces");
}

/* What comes first on the same hook may keep a packet from us. */
static void look_at_filters(struct doctor *d)
{
	struct if_nameindex *interfaces = if_nameindex();
	bool any = false;
	uint32_t priority;

	for (struct if_nameindex *i = interfaces; i && i->if_index; i++) {
		bool lo = !strcmp(i->if_name, "lo");

		if (qdisc_first_filter((int)i->if_index, lo, &priority) != 1)
			continue;
		any = true;
		doctor_say(d, "tc-filters", DOCTOR_LACKS,
			   "have it let packets on to the next filter, or give it a higher "
			   "preference than 8547",
			   "on %s a filter of another program comes first (preference %u) and may "
			   "keep connections from being encrypted",
			   i->if_name, priority);
	}
	if_freenameindex(interfaces);
	if (!any)
		doctor_say(d, "tc-filters", DOCTOR_GOOD, NULL, "nobody's come before ours");
}

void doctor_net(struct doctor *d)
{
	look_at_lo(d);
	look_at_ipv6(d);
	look_at_ports(d);
	look_at_syncookies(d);
	look_at_raw(d);
	look_at_tc(d);
	look_at_filters(d);
}
