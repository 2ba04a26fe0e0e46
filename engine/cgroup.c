// SPDX-License-Identifier: BSD-2-Clause
#include "engine/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

int cgroup_find(char *path, size_t size)
{
	char line[1024], mount_point[256], type[64];
	FILE *f = fopen("/proc/self/mountinfo", "re");
	int ret = -ENOENT;

	if (!f)
		return -errno;
	while (ret && fgets(line, sizeof(line), f)) {
		const char *rest = strstr(line, " - ");

		if (sscanf(line, "%*s %*s %*s %*s %255s", mount_point) != 1 || !rest ||
		    sscanf(rest, " - %63s", type) != 1 || strcmp(type, "cgroup2"))
			continue;
		if ((size_t)snprintf(path, size, "%s", mount_point) < size)
			ret = 0;
	}
	fclose(f);
	return ret;
}

int cgroup_open(char *path, size_t size)
{
	int error = cgroup_find(path, size);
	int fd;

	if (error)
		return error;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int cgroup_join(int pid)
{
	char path[1100], line[768], mount[256];
	int error = cgroup_find(mount, sizeof(mount));
	FILE *f;

	if (error)
		return error;
	snprintf(path, sizeof(path), "/proc/%d/cgroup", pid);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	error = -ENOENT;
	while (error && fgets(line, sizeof(line), f))
		error = strncmp(line, "0::/", 4) ? -ENOENT : 0;
	fclose(f);
	if (error)
		return error;
	line[strcspn(line, "\n")] = '\0';
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", mount, line + 3);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	/* 0 is who writes it. */
	error = fputs("0\n", f) < 0 ? -EIO : 0;
	return fclose(f) ? -errno : error;
}
