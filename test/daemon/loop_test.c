// SPDX-License-Identifier: BSD-2-Clause
/* The event loop's idle work: behind everything else, and only as long as it is wanted. */
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

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_idle) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
