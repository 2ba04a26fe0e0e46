// SPDX-License-Identifier: BSD-2-Clause
/* Children that tell what they have. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "spawns.h"

/* `talk TO FROM TEXT`: what comes back of TEXT. */
int talk(char **args)
{
	const int to = atoi(args[0]), from = atoi(args[1]);
	const char *text = args[2];
	char got[64] = "";
	size_t len = strlen(text), n = 0;
	ssize_t r = write(to, text, len);

	while (r > 0 && n < len && (r = read(from, got + n, len - n)) > 0)
		n += r;
	if (r < 0)
		dprintf(SAY, "  child: %s\n", strerrorname_np(errno));
	else
		dprintf(SAY, "  child: %s\n", got);
	return 42;
}

static void say_signals(void)
{
	struct sigaction action;
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	for (int i = 1; i < _NSIG; i++)
		if (sigismember(&mask, i) == 1)
			dprintf(SAY, "  blocked: %s\n", sigabbrev_np(i));
	for (int i = 1; i < _NSIG; i++)
		if (!sigaction(i, NULL, &action) && action.sa_handler != SIG_DFL)
			dprintf(SAY, "  not default: %s %d\n", sigabbrev_np(i),
				action.sa_handler == SIG_IGN);
}

/* Those that the program can know of. */
static void say_descriptors(void)
{
	for (int fd = 0; fd < 100; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			dprintf(SAY, "  open: %d %d\n", fd, fcntl(fd, F_GETFD));
}

int state(void)
{
	struct sched_param parameters;
	char path[256];

	sched_getparam(0, &parameters);
	say_signals();
	say_descriptors();
	dprintf(SAY, "  leads a group: %d\n", getpgrp() == getpid());
	dprintf(SAY, "  in its parent's group: %d\n", getpgrp() == getpgid(getppid()));
	dprintf(SAY, "  leads a session: %d\n", getsid(0) == getpid());
	dprintf(SAY, "  scheduled: %d %d\n", sched_getscheduler(0), parameters.sched_priority);
	/* Names end with what is another in each test. */
	dprintf(SAY, "  directory: %.10s\n", getcwd(path, sizeof(path)));
	dprintf(SAY, "  user: %d %d %d %d\n", getuid(), geteuid(), getgid(), getegid());
	dprintf(SAY, "  HERE=%s\n", getenv("HERE") ? getenv("HERE") : "");
	return 0;
}
