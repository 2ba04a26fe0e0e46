// SPDX-License-Identifier: BSD-2-Clause
/* What a process has of an arena comes back, however it ends, and only then. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inproc/arena.h"
#include "test/unit/unit.h"
#include "inproc/vessel.h"

/* No connection has memory of its own here. */
struct arena_share *vessel_share(const struct arena *arena, bool own)
{
	return NULL;
}

void vessel_reap(void (*give_back)(void *slot, struct arena_share *share))
{
}

static struct arena *arena;
static void *slot;
static unsigned int refs, holds, calls;

static void give_back(void *given, struct arena_share *share)
{
	assert_ptr_equal(given, slot);
	refs += share->refs;
	holds += share->holds;
	calls++;
	*share = (struct arena_share){};
}

static unsigned int reaped(void)
{
	refs = holds = calls = 0;
	arena_reap(give_back);
	return calls;
}

static int setup(void **state)
{
	(void)state;
	arena = arena_own();
	slot = arena_slot_get(arena);
	return !arena || !slot;
}

/* What the library does around fork(); the child runs life() and says by a byte that it has begun. */
static pid_t forked(void (*run)(void))
{
	int begun[2];
	char byte = 0;
	pid_t pid;

	assert_int_equal(pipe(begun), 0);
	lives_forking();
	arena_share(arena, slot, lives_child())->refs += 2;
	pid = fork();
	if (!pid) {
		lives_forked();
		arena_forked();
		if (write(begun[1], &byte, 1) != 1)
			_exit(1);
		run();
		_exit(0);
	}
	lives_fork_done();
	assert_int_equal(read(begun[0], &byte, 1), 1);
	close(begun[0]);
	close(begun[1]);
	return pid;
}

static void wait_for_ever(void)
{
	for (;;)
		pause();
}

static void hold_and_wait(void)
{
	arena_share(arena, slot, lives_own())->holds++;
	raise(SIGSTOP);
}

static void become_another(void)
{
	execl("/bin/sleep", "sleep", "1000", (char *)NULL);
}

static void end(pid_t pid)
{
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void killed(void **state)
{
	pid_t pid = forked(wait_for_ever), other = forked(hold_and_wait);
	siginfo_t info;

	(void)state;
	assert_int_equal(waitpid(other, NULL, WUNTRACED), other);
	assert_int_equal(reaped(), 0); /* both live */
	/* Nobody has waited for it yet. */
	kill(other, SIGKILL);
	waitid(P_PID, other, &info, WEXITED | WNOWAIT);
	assert_int_equal(reaped(), 1);
	assert_int_equal(refs, 2);
	assert_int_equal(holds, 1);
	assert_int_equal(reaped(), 0); /* once */
	waitpid(other, NULL, 0);
	end(pid);
	assert_int_equal(reaped(), 1);
	assert_int_equal(refs, 2);
	assert_int_equal(holds, 0);
}

/* Killed before it could hold its lock. */
static void never_born(void **state)
{
	siginfo_t info;
	life name;
	pid_t pid;

	(void)state;
	lives_forking();
	name = lives_child();
	arena_share(arena, slot, name)->refs++;
	pid = fork();
	if (!pid)
		wait_for_ever();
	lives_fork_done();
	lives_begins(name, pid);
	assert_int_equal(reaped(), 0);
	kill(pid, SIGKILL);
	waitid(P_PID, pid, &info, WEXITED | WNOWAIT);
	assert_int_equal(reaped(), 1);
	assert_int_equal(refs, 1);
	waitpid(pid, NULL, 0);
	assert_true(lives_ended(name));
}

/* execve() ends what the process had, though the process goes on. */
static void becomes_another(void **state)
{
	pid_t pid = forked(become_another);

	(void)state;
	while (!reaped())
		usleep(1000);
	assert_int_equal(refs, 2);
	end(pid);
	assert_int_equal(reaped(), 0);
}

/* A place that was given again says that its last owner has ended. */
static void places_come_again(void **state)
{
	unsigned int before = 0;
	pid_t pids[LIVES_MAX];

	(void)state;
	for (unsigned int i = 0; i < 2 * LIVES_MAX; i++) {
		end(forked(wait_for_ever));
		assert_int_equal(reaped(), 1);
		assert_int_equal(refs, 2);
	}
	/* Who comes when all have been given counts nothing. */
	for (unsigned int i = 0; i < LIVES_MAX - 1; i++)
		pids[i] = forked(wait_for_ever);
	lives_forking();
	assert_int_equal(lives_child(), 0);
	assert_null(arena_share(arena, slot, lives_child()));
	lives_fork_done();
	assert_int_equal(reaped(), 0);
	for (unsigned int i = 0; i < LIVES_MAX - 1; i++)
		end(pids[i]);
	for (unsigned int left = LIVES_MAX - 1; left; left -= before) {
		before = reaped();
		assert_true(before);
	}
}

static void never_forked(void **state)
{
	life name;

	(void)state;
	lives_forking();
	name = lives_child();
	lives_fork_done();
	assert_false(lives_ended(name));
	lives_never(name);
	assert_true(lives_ended(name));
}

#define PEAK 20

/* Has the buffer's last page memory? */
static bool is_there(uint8_t *buffer)
{
	uint8_t *last = buffer + ARENA_BUFFER_SIZE - 1;
	unsigned char there;

	assert_int_equal(mincore(last - (uintptr_t)last % 4096, 4096, &there), 0);
	return there & 1;
}

/* After a peak: what was not needed since the last trim goes, what somebody has stays as it is. */
static void trimmed(void **state)
{
	uint8_t *buffers[PEAK], *last;

	(void)state;
	for (int i = 0; i < PEAK; i++) {
		buffers[i] = arena_buffer_get(arena);
		memset(buffers[i], i + 1, ARENA_BUFFER_SIZE);
	}
	for (int i = 0; i < PEAK; i++)
		if (i != PEAK / 2)
			arena_buffer_put(arena, buffers[i]);
	assert_true(arena_trim());
	assert_true(is_there(buffers[PEAK - 1]));
	/* Meanwhile one is enough: the first. */
	last = arena_buffer_get(arena);
	assert_ptr_equal(last, buffers[0]);
	arena_buffer_put(arena, last);
	assert_true(arena_trim());
	for (int i = 0; i < PEAK; i++)
		assert_int_equal(is_there(buffers[i]), i == 0 || i == PEAK / 2);
	assert_int_equal(buffers[PEAK / 2][ARENA_BUFFER_SIZE - 1], PEAK / 2 + 1);
	arena_buffer_put(arena, buffers[PEAK / 2]);
	assert_false(arena_trim());
	assert_false(is_there(buffers[0]));
	assert_false(is_there(buffers[PEAK / 2]));
	/* They can be used as before. */
	last = arena_buffer_get(arena);
	assert_ptr_equal(last, buffers[0]);
	memset(last, 1, ARENA_BUFFER_SIZE);
	arena_buffer_put(arena, last);
	assert_true(arena_trim());
	assert_false(arena_trim());
}

/* Far from where the bytes lie that programs and kernel copy from and to. */
static void in_the_middle_of_a_page(void **state)
{
	uint8_t *buffers[2];

	(void)state;
	for (int i = 0; i < 2; i++) {
		buffers[i] = arena_buffer_get(arena);
		assert_int_equal((uintptr_t)buffers[i] % 4096, 2048);
	}
	assert_true(labs(buffers[1] - buffers[0]) >= ARENA_BUFFER_SIZE);
	for (int i = 0; i < 2; i++)
		arena_buffer_put(arena, buffers[i]);
}

#define LOOKS 1000000

static atomic_bool enough;

static void *look(void *data)
{
	while (!enough)
		assert_true(arena_is_single(arena_single(0)));
	return data;
}

/* A connection's own memory is there for one thread while another looks for it. */
static void single(void **state)
{
	static uint8_t memory[ARENA_SINGLE_BUFFERS * ARENA_BUFFER_ROOM], only[ARENA_SLOT_SIZE];
	static struct arena_single_taken taken;
	pthread_t looking;
	int missing = 0;

	(void)state;
	arena_single_place(0, only, memory, &taken);
	assert_int_equal(pthread_create(&looking, NULL, look, NULL), 0);
	for (int i = 0; i < LOOKS; i++) {
		uint8_t *buffer = arena_buffer_get(arena_single(0));

		missing += buffer < memory || buffer >= memory + sizeof(memory);
		arena_buffer_put(arena_single(0), buffer);
	}
	enough = true;
	pthread_join(looking, NULL);
	assert_int_equal(missing, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed),
		cmocka_unit_test(never_born),
		cmocka_unit_test(becomes_another),
		cmocka_unit_test(places_come_again),
		cmocka_unit_test(never_forked),
		cmocka_unit_test(trimmed),
		cmocka_unit_test(in_the_middle_of_a_page),
		cmocka_unit_test(single),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}
