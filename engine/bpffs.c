// SPDX-License-Identifier: BSD-2-Clause
#include "engine/bpffs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define USUAL	  "/sys/fs/bpf"
#define OWN	  "/run/tcpcrypt-bpf"
#define DIRECTORY "tcpcrypt"

static bool is_bpffs(const char *path)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == BPF_FS_MAGIC;
}

/* By default everybody may write to a bpffs, and could have made our directory before us. */
static bool is_roots(const char *path)
{
	struct stat st;

	return !stat(path, &st) && !st.st_uid && !(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Our own, once there is one, also when others mount the usual one later: what is pinned stays
 * where it is found. */
static const char *place(void)
{
	return !is_bpffs(OWN) && is_bpffs(USUAL) && is_roots(USUAL) ? USUAL : OWN;
}

static int own_mount(void)
{
	if (mkdir(OWN, 0700) && errno != EEXIST)
		return -errno;
	return mount("bpf", OWN, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno : 0;
}

static int mount_open(bool make)
{
	const char *path = place();
	int fd, error;

	if (!is_bpffs(path)) {
		error = make ? own_mount() : -ENOENT;
		if (error)
			return error;
	}
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int bpffs_open(bool make)
{
	int mounted = mount_open(make);
	int fd, error = 0;

	if (mounted < 0)
		return mounted;
	if (make && mkdirat(mounted, DIRECTORY, 0700) && errno != EEXIST)
		error = -errno;
	fd = error ? error
		   : openat(mounted, DIRECTORY, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (!error && fd < 0)
		fd = -errno;
	close(mounted);
	return fd;
}
