// SPDX-License-Identifier: BSD-2-Clause
/* Who has ended without a word is found, once, and nobody else is taken for him. */
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>

#include "inproc/members.h"
#include "inproc/next.h"
#include "test/unit/unit.h"

static struct member members[MEMBERS_MAX];
static int watcher, other, later; /* open files, each as of a process of its own */
static int number;
/* What happens just before and just after the next look at the lock. */
static void (*before_look)(void), (*after_look)(void);

static void once(void (**happens)(void))
{
	void (*now)(void) = *happens;

	*happens = NULL;
	if (now)
		now();
}

static int fcntl_observed(int fd, int command, ...)
{
	void *argument;
	va_list list;
	int r;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	if (command != F_OFD_GETLK)
		return fcntl(fd, command, argument);
	once(&before_look);
	r = fcntl(fd, command, argument);
	once(&after_look);
	return r;
}

struct next next_calls = { .fcntl = fcntl_observed };
atomic_bool next_found = true;

void next_find(void)
{
}

static int again(int fd)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

static int setup(void **state)
{
	memset(members, 0, sizeof(members));
	watcher = memfd_create("members", MFD_CLOEXEC);
	other = again(watcher);
	later = again(watcher);
	number = member_begin(members, other);
	return watcher < 0 || other < 0 || later < 0 || number < 0;
}

static int teardown(void **state)
{
	close(watcher);
	if (other >= 0)
		close(other);
	return later >= 0 ? close(later) : 0;
}

static bool dead(void)
{
	return member_dead(&members[number], number, watcher);
}

static void killed(void)
{
	close(other);
	other = -1;
}

static void ends(void)
{
	member_end(members, number);
	killed();
}

static void test_lives(void **state)
{
	assert_false(dead());
	assert_int_not_equal(member_begin(members, later), number);
}

static void test_killed(void **state)
{
	members[number].share.refs = 3;
	killed();
	assert_true(dead());
	assert_int_equal(members[number].share.refs, 3);
	/* It is one caller's to give back, and nobody's number until then. */
	assert_false(dead());
	assert_int_not_equal(member_begin(members, later), number);
}

static void test_ended(void **state)
{
	members[number].share.refs = 3;
	ends();
	assert_false(dead());
	assert_int_equal(members[number].share.refs, 0);
	assert_int_equal(member_begin(members, later), number);
}

static void follows(void)
{
	assert_int_equal(member_begin(members, later), number);
	members[number].share.refs = 1;
}

/* Its lock is looked at in the moment between its end and the next one's beginning: a child's. */
static void test_number_comes_again(void **state)
{
	before_look = ends;
	after_look = follows;
	assert_false(dead());
	assert_int_equal(members[number].share.refs, 1);
	/* And when that one is killed it is found. */
	close(later);
	later = -1;
	assert_true(dead());
	assert_int_equal(members[number].share.refs, 1);
}

static void ends_again(void)
{
	member_end(members, number);
	close(later);
	later = -1;
}

static void looks_again(void)
{
	follows();
	before_look = ends_again;
}

/* The next one ends as well, while who looks has its number: that is looked for a last time. */
static void test_next_one_ends(void **state)
{
	before_look = ends;
	after_look = looks_again;
	assert_true(dead());
	assert_int_equal(members[number].share.refs, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lives, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_number_comes_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_one_ends, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
