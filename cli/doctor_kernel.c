/* SPDX-License-Identifier: BSD-2-Clause */
/* tcpcrypt doctor: what the kernel has, found by trying, and the processor. */
#include "doctor.h"

#include "engine/cgroup.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#define KERNEL_MAJOR 6
#define KERNEL_MINOR 1

static void look_at_version(struct doctor *d)
{
	struct utsname name;
	unsigned int major = 0, minor = 0;
	bool good;

	uname(&name);
	sscanf(name.release, "%u.%u", &major, &minor);
	good = major > KERNEL_MAJOR || (major == KERNEL_MAJOR && minor >= KERNEL_MINOR);
	doctor_say(d, "kernel", good ? DOCTOR_GOOD : DOCTOR_LACKS, "6.1 is the oldest that will do",
		   "Linux %s", name.release);
}

static void look_at_btf(struct doctor *d)
{
	bool good = !access("/sys/kernel/btf/vmlinux", R_OK);

	doctor_say(d, "btf", good ? DOCTOR_GOOD : DOCTOR_LACKS,
		   "use a kernel built with CONFIG_DEBUG_INFO_BTF, and mount /sys",
		   good ? "the kernel tells its types" : "/sys/kernel/btf/vmlinux is missing");
}

static void look_at_cgroup(struct doctor *d)
{
	char path[256];

	if (cgroup_find(path, sizeof(path)))
		doctor_say(d, "cgroup", DOCTOR_LACKS, "mount -t cgroup2 none /sys/fs/cgroup",
			   "no cgroup v2 hierarchy is mounted here");
	else
		doctor_say(d, "cgroup", DOCTOR_GOOD, NULL, "version 2 at %s", path);
}

static const enum bpf_prog_type programs[] = {
	BPF_PROG_TYPE_SOCK_OPS,	 BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_PROG_TYPE_CGROUP_SOCKOPT,
	BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SK_LOOKUP,
};

static const enum bpf_map_type maps[] = {
	BPF_MAP_TYPE_ARRAY,	 BPF_MAP_TYPE_HASH,    BPF_MAP_TYPE_LRU_HASH,
	BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_RINGBUF,
};

/* The youngest of those that are called. */
static const struct {
	const char *name;
	enum bpf_prog_type program;
	enum bpf_func_id id;
} helpers[] = {
	{ "bpf_loop", BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_loop },
	{ "bpf_skc_lookup_tcp", BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_skc_lookup_tcp },
	{ "bpf_skc_to_tcp_sock", BPF_PROG_TYPE_SCHED_CLS, BPF_FUNC_skc_to_tcp_sock },
	{ "bpf_store_hdr_opt", BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_store_hdr_opt },
	{ "bpf_get_netns_cookie", BPF_PROG_TYPE_SOCK_OPS, BPF_FUNC_get_netns_cookie },
	{ "bpf_set_retval", BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_set_retval },
	{ "bpf_sk_assign", BPF_PROG_TYPE_SK_LOOKUP, BPF_FUNC_sk_assign },
};

/* A list of names that grows while it has room. */
struct names {
	char text[DOCTOR_TEXT_MAX / 2];
	size_t len;
};

static void name_add(struct names *names, const char *name)
{
	int len = snprintf(names->text + names->len, sizeof(names->text) - names->len, "%s%s",
			   names->len ? ", " : "", name ? name : "?");

	if (len > 0 && names->len + (size_t)len < sizeof(names->text))
		names->len += (size_t)len;
}

static int print_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

static void features_missing(struct names *missing)
{
	for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
		if (libbpf_probe_bpf_prog_type(programs[i], NULL) != 1)
			name_add(missing, libbpf_bpf_prog_type_str(programs[i]));
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]); i++)
		if (libbpf_probe_bpf_map_type(maps[i], NULL) != 1)
			name_add(missing, libbpf_bpf_map_type_str(maps[i]));
	for (size_t i = 0; i < sizeof(helpers) / sizeof(helpers[0]); i++)
		if (libbpf_probe_bpf_helper(helpers[i].program, helpers[i].id, NULL) != 1)
			name_add(missing, helpers[i].name);
}

static void look_at_bpf(struct doctor *d)
{
	struct names missing = {};

	if (geteuid()) {
		doctor_say(d, "bpf", DOCTOR_UNKNOWN, "ask as root", "not looked at");
		return;
	}
	libbpf_set_print(print_nothing);
	features_missing(&missing);
	if (missing.len)
		doctor_say(d, "bpf", DOCTOR_LACKS,
			   "use a kernel with CONFIG_BPF_SYSCALL, CONFIG_CGROUP_BPF and "
			   "CONFIG_NET_CLS_BPF, and a root that may use them",
			   "missing: %s", missing.text);
	else
		doctor_say(d, "bpf", DOCTOR_GOOD, NULL,
			   "all types of programs and maps, and all helpers");
}

/* What makes AES fast, and whether what was built uses it. */
static void look_at_crypto(struct doctor *d)
{
#if defined(__x86_64__)
	bool able = __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
		    __builtin_cpu_supports("avx2");

	if (!able)
		doctor_say(d, "crypto", DOCTOR_GOOD, NULL,
			   "this processor has no fast AES: ChaCha20 comes first");
	else if (HAVE_IPSEC_MB)
		doctor_say(d, "crypto", DOCTOR_GOOD, NULL, "AES by libipsec-mb");
	else
		doctor_say(d, "crypto", DOCTOR_LACKS, "install libipsec-mb-dev and build again",
			   "AES by OpenSSL, which is slower than libipsec-mb");
#else
	doctor_say(d, "crypto", DOCTOR_GOOD, NULL, "by OpenSSL");
#endif
}

void doctor_kernel(struct doctor *d)
{
	look_at_version(d);
	look_at_btf(d);
	look_at_cgroup(d);
	look_at_bpf(d);
	look_at_crypto(d);
}
