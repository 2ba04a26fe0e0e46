// SPDX-License-Identifier: BSD-2-Clause
/* The event loop's idle work: behind everything else, and only as long as it is wanted; and what is
 * looked for before it waits. */
#include "daemon/loop.h"
#include "test/unit/unit.h"

#include <sys/eventfd.h>
#include <unistd.h>

#define IDLE_CALLS 4
#define WORKS	   5

struct world {
	struct loop *loop;
	struct loop_source source;
	struct loop_work work;
	int events, works, idles, ticks;
};

static struct world w;

/* Each event asks for work that goes on for WORKS turns, and for idle work. */
static void event(struct loop_source *source, uint32_t events)
{
	uint64_t value;

	assert_int_equal(read(source->fd, &value, sizeof(value)), sizeof(value));
	w.events++;
	w.works = 0;
	loop_queue(w.loop, &w.work);
	loop_want_idle(w.loop);
}

static void work(struct loop_work *work)
{
	if (++w.works < WORKS)
		loop_queue(w.loop, work);
}

/* In the middle of it another event comes, which is handled before the next call. */
static bool idle(void *data)
{
	assert_ptr_equal(data, &w);
	w.idles++;
	assert_int_equal(w.events, w.idles > 2 ? 2 : 1);
	assert_int_equal(w.works, WORKS);
	if (w.idles == 2)
		assert_int_equal(eventfd_write(w.source.fd, 1), 0);
	return w.idles < IDLE_CALLS;
}

/* A loop that did not wait would call idle() again before the second tick. */
static void tick(void *data)
{
	if (++w.ticks == 2)
		loop_stop(w.loop);
}

static void test_idle(void **state)
{
	assert_int_equal(loop_new(&w.loop), 0);
	w.source.fd = eventfd(1, EFD_NONBLOCK);
	w.source.handler = event;
	w.work.run = work;
	assert_int_equal(loop_add(w.loop, &w.source, EPOLLIN), 0);
	loop_set_idle(w.loop, idle, &w);
	loop_set_tick(w.loop, tick, NULL);
	assert_int_equal(loop_run(w.loop), 0);
	assert_int_equal(w.idles, IDLE_CALLS);
	loop_remove(w.loop, &w.source);
	close(w.source.fd);
	loop_free(w.loop);
}

static struct {
	struct loop *loop;
	struct loop_work work;
	int found, works, before_waiting;
} l;

static void found_work(struct loop_work *work)
{
	l.works++;
}

/* Something is found the first two times that the loop would wait. Whatever is done then, it asks
 * again before it does wait; the tick, for which it waits, ends the test. */
static bool look(void *data, bool waits)
{
	assert_ptr_equal(data, &l);
	if (!waits)
		return false;
	l.before_waiting++;
	assert_int_equal(l.works, l.found);
	if (l.found == 2)
		return false;
	l.found++;
	loop_queue(l.loop, &l.work);
	return true;
}

static void end(void *data)
{
	loop_stop(l.loop);
}

static void test_look(void **state)
{
	assert_int_equal(loop_new(&l.loop), 0);
	l.work.run = found_work;
	loop_set_look(l.loop, look, &l);
	loop_set_tick(l.loop, end, NULL);
	assert_int_equal(loop_run(l.loop), 0);
	assert_int_equal(l.works, 2);
	assert_int_equal(l.before_waiting, 3);
	loop_free(l.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle),
		cmocka_unit_test(test_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
