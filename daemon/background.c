// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

int background_begin(int *ret_report)
{
	int ends[2];
	pid_t pid;
	char done;

	if (pipe2(ends, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid) {
		close(ends[1]);
		_exit(read(ends[0], &done, 1) == 1 ? EXIT_SUCCESS : EXIT_FAILURE);
	}
	close(ends[0]);
	setsid();
	*ret_report = ends[1];
	return 0;
}

void background_ready(int report, int log)
{
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (nothing >= 0) {
		dup2(nothing, STDIN_FILENO);
		close(nothing);
	}
	if (log >= 0) {
		dup2(log, STDOUT_FILENO);
		dup2(log, STDERR_FILENO);
		close(log);
	}
	/* Whoever waits and does not hear it is gone. */
	if (write(report, "", 1) == 1 || errno == EPIPE)
		close(report);
}
