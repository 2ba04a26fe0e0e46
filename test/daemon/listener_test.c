// SPDX-License-Identifier: BSD-2-Clause
/* Listeners that rest for want of descriptors or memory: both of them or none, and not for ever. */
#include "daemon/carry.h"
#include "daemon/flow.h"
#include "daemon/incoming.h"
#include "daemon/listener.h"
#include "daemon/outgoing.h"
#include "daemon/worker.h"
#include "test/unit/unit.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct worker w;
static bool full;
static int watched;  /* by the loop, apart from its timer */
static int fails_in; /* so many are watched from now on, and then one is not */

/* The C library's, but for the want of memory. */
int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
	int ret;

	if (op == EPOLL_CTL_ADD && fails_in && !--fails_in) {
		errno = ENOMEM;
		return -1;
	}
	ret = (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
	if (!ret)
		watched += op == EPOLL_CTL_ADD ? 1 : -1;
	return ret;
}

bool worker_is_full(const struct worker *worker)
{
	return full;
}

bool worker_is_exhausted(const struct worker *worker, int error)
{
	return false;
}

int engine_mark_steered(struct engine *e, int fd)
{
	return 0;
}

int engine_lead_to(struct engine *e, unsigned int slot, int fd, bool out, bool v6)
{
	return 0;
}

void carry_hops(int fd, int family)
{
}

void flow_refuse(int fd)
{
}

void flow_prepare_app(int fd)
{
}

void incoming_accepted(struct worker *worker, int fd, const struct shared_tuple *client)
{
}

void outgoing_accepted(struct worker *worker, int fd, const struct shared_tuple *program)
{
}

static void test_rest(void **state)
{
	struct listener *l = &w.steered;
	int all;

	assert_int_equal(loop_new(&w.loop), 0);
	assert_int_equal(listener_open(l, true, 0), 0);
	watched = 0;
	assert_int_equal(listener_listen(l, &w), 0);
	assert_int_equal(listener_start(l), 0);
	all = l->v6.fd > 0 ? 2 : 1;
	assert_int_equal(watched, all);
	for (int fails = 1; fails <= all; fails++) {
		full = true;
		listener_take(l, false, 1);
		assert_true(l->resting);
		assert_int_equal(watched, 0);
		full = false;
		fails_in = fails;
		listener_resume(l);
		assert_true(l->resting);
		assert_int_equal(watched, 0);
		listener_resume(l);
		assert_false(l->resting);
		assert_int_equal(watched, all);
	}
	listener_close(l);
	loop_free(w.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
