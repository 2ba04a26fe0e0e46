// SPDX-License-Identifier: BSD-2-Clause
/* Bytes with descriptors arrive whole, no more descriptors than there is room for, and also where who waits
 * for them is stopped for a moment. */
#include "daemon/parcel.h"
#include "test/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static void pair_make(int ends[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

static void pair_close(const int ends[2])
{
	close(ends[0]);
	close(ends[1]);
}

static void test_descriptors(void **state)
{
	int ends[2], pipes[2], fds[2];
	size_t n_fds = 2;
	char bytes[8], byte;

	pair_make(ends);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(parcel_send(ends[0], "two", 3, pipes, 2), 0);
	assert_int_equal(parcel_receive(ends[1], bytes, sizeof(bytes), fds, &n_fds), 3);
	assert_int_equal(n_fds, 2);
	assert_memory_equal(bytes, "two", 3);
	assert_int_equal(write(fds[1], "x", 1), 1);
	assert_int_equal(read(fds[0], &byte, 1), 1);
	assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC);
	pair_close(fds);
	pair_close(pipes);
	pair_close(ends);
}

static void test_no_room(void **state)
{
	int ends[2], pipes[2], fds[1];
	size_t n_fds = 1;
	char bytes[8], byte;

	pair_make(ends);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(parcel_send(ends[0], "two", 3, pipes, 2), 0);
	assert_int_equal(parcel_receive(ends[1], bytes, sizeof(bytes), fds, &n_fds), 3);
	assert_int_equal(n_fds, 1);
	/* Nobody else has the one to write to. */
	close(pipes[1]);
	assert_int_equal(read(pipes[0], &byte, 1), 0);
	close(fds[0]);
	close(pipes[0]);
	pair_close(ends);
}

static void test_errors(void **state)
{
	int ends[2], fds[1];
	size_t n_fds = 1;
	char byte;

	pair_make(ends);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(parcel_receive(ends[0], &byte, 1, fds, &n_fds), -1);
	assert_int_equal(n_fds, 0);
	assert_int_equal(parcel_send(ends[0], "", 0, fds, PARCEL_FDS_MAX + 1), -E2BIG);
	close(ends[1]);
	assert_int_equal(parcel_send(ends[0], "x", 1, NULL, 0), -EPIPE);
	close(ends[0]);
}

static int receives(int fd)
{
	const struct timeval limit = { .tv_sec = 60 };
	size_t n_fds = 0;
	char byte;

	return setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	       parcel_receive(fd, &byte, 1, NULL, &n_fds) != 1;
}

static char state_of(pid_t pid)
{
	char path[64], found = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &found) != 1)
		found = 0;
	if (file)
		fclose(file);
	return found;
}

/* Or until it has ended. */
static void until(pid_t pid, char wanted)
{
	char found;

	while ((found = state_of(pid)) != wanted && found != 'Z')
		usleep(1000);
}

static void test_stopped(void **state)
{
	int ends[2], status;
	pid_t pid;

	pair_make(ends);
	pid = fork();
	if (!pid)
		_exit(receives(ends[1]));
	assert_true(pid > 0);
	until(pid, 'S');
	kill(pid, SIGSTOP);
	until(pid, 'T');
	kill(pid, SIGCONT);
	until(pid, 'S');
	assert_int_equal(parcel_send(ends[0], "x", 1, NULL, 0), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	pair_close(ends);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_stopped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
