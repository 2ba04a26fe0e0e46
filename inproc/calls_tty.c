// SPDX-License-Identifier: BSD-2-Clause
/*
 * Terminals as a process's standard files: telnetd and the like have a connection there, and the C library
 * would put the terminal in its place by calls of its own, which nobody sees.
 */
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <utmp.h>

#include "inproc/calls.h"

CALL int login_tty(int fd)
{
	setsid();
	if (ioctl(fd, TIOCSCTTY, NULL))
		return -1;
	for (int copy = STDIN_FILENO; copy <= STDERR_FILENO; copy++)
		while (dup2(fd, copy) < 0 && errno == EBUSY)
			;
	if (fd > STDERR_FILENO)
		close(fd);
	return 0;
}

CALL int forkpty(int *master, char *name, const struct termios *settings,
		 const struct winsize *size)
{
	int ours, terminal;
	pid_t pid;

	if (openpty(&ours, &terminal, name, settings, size))
		return -1;
	calls_new(ours);
	calls_new(terminal);
	pid = fork();
	if (!pid) {
		close(ours);
		if (login_tty(terminal))
			_exit(1);
		return 0;
	}
	close(terminal);
	if (pid < 0)
		close(ours);
	else
		*master = ours;
	return pid;
}
