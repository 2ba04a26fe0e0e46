// SPDX-License-Identifier: BSD-2-Clause
/* Programs that cannot be started, and those that are looked for. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "spawns.h"

static void spawnp(const char *what, const char *name)
{
	const char *const args[] = { name, "state", NULL };
	pid_t pid = 0;

	ended(what, posix_spawnp(&pid, name, NULL, NULL, vector(args), environ), pid);
}

static void file_make(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, mode);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		fail(path);
	close(fd);
}

static void searches(void)
{
	char here[] = "/tmp/spawnXXXXXX", path[128], link[64], script[64], text[64];
	static char name[300];

	if (!mkdtemp(here) || chdir(here))
		fail(here);
	snprintf(path, sizeof(path), "/none:%s/data:%s", here, here);
	snprintf(link, sizeof(link), "%s/link", here);
	snprintf(script, sizeof(script), "%s/script", here);
	snprintf(text, sizeof(text), "%s/text", here);
	if (symlink(program, link))
		fail(link);
	file_make("script", "echo a shell reads it\n", 0700);
	file_make("text", "text\n", 0600);
	setenv("PATH", path, 1);
	spawnp("in PATH", "link");
	spawnp("not there", "none");
	spawnp("no name", "");
	spawnp("not a program", "script");
	spawnp("not to be started", "text");
	spawnp("with its place", link);
	spawnp("too long", memset(name, 'x', sizeof(name) - 1));
	setenv("PATH", "/none:", 1);
	spawnp("here", "link");
	setenv("PATH", "/etc/passwd", 1);
	spawnp("in what is no directory", "link");
	unsetenv("PATH");
	spawnp("without PATH", "true");
	spawnp("without PATH", "link");
	spawn("not there", NULL, NULL, (const char *[]){ "/none", NULL });
	spawn("not a program", NULL, NULL, (const char *[]){ script, NULL });
	spawn("not to be started", NULL, NULL, (const char *[]){ text, NULL });
	spawn("a directory", NULL, NULL, (const char *[]){ "/tmp", NULL });
	unlink(link);
	unlink(script);
	unlink(text);
	if (chdir("/") || rmdir(here))
		fail(here);
}

static void action_errors(int fd)
{
	posix_spawn_file_actions_t actions;

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fd, 0);
	printf("dup2, no number: %d\n", posix_spawn_file_actions_adddup2(&actions, fd, -1));
	printf("dup2, no number: %d\n", posix_spawn_file_actions_adddup2(&actions, -1, fd));
	printf("close, no number: %d\n", posix_spawn_file_actions_addclose(&actions, -1));
	posix_spawn_file_actions_adddup2(&actions, 77, 1);
	spawn_state("dup2, not open", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, 77, 77);
	spawn_state("dup2 to itself, not open", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 40, "/none", O_RDONLY, 0);
	spawn_state("open", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addchdir_np(&actions, "/etc/passwd");
	spawn_state("chdir", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addfchdir_np(&actions, fd);
	spawn_state("fchdir", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addtcsetpgrp_np(&actions, fd);
	spawn_state("tcsetpgrp", &actions, NULL);
	posix_spawn_file_actions_destroy(&actions);
}

void errors_case(void)
{
	int fd = connected();

	echoed(fd, "first");
	action_errors(fd);
	echoed(fd, "goes on");
	searches();
	echoed(fd, "last");
}
