// SPDX-License-Identifier: BSD-2-Clause
#include "lib/report.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "inproc/helper.h"
#include "inproc/kept.h"
#include "inproc/moment.h"
#include "inproc/next.h"
#include "inproc/outbox.h"
#include "inproc/report.h"
#include "inproc/tell.h"
#include "lib/process.h"

#define CALL_MS	 1000 /* as long as there are calls, what the daemon knows of bytes is no older */
#define RETRY_MS 1000 /* there was no daemon: not before */

const bool report_is_silent = true;

static atomic_uint owner; /* whose the outbox is */
static _Atomic int64_t retry_ms;

static void forked(void)
{
	owner = process_number();
	retry_ms = 0;
	outbox_forked();
}

/* A daemon that was replaced is found at the second attempt. */
static void send_all(void)
{
	int r = outbox_send();

	if (r && r != -EAGAIN)
		r = outbox_send();
	if (!r || r == -EAGAIN)
		return;
	outbox_drop();
	retry_ms = now_coarse_ms() + RETRY_MS;
}

void report_put(const struct message *m)
{
	const int saved = errno;

	/* A child of _Fork() or clone(). */
	if (owner != process_number())
		forked();
	if (now_coarse_ms() >= retry_ms && outbox_put(m))
		send_all();
	errno = saved;
}

static void begin(void)
{
	static const struct conn_observer observer = {
		.established = tell_established,
		.ended = tell_ended,
		.plain = tell_plain,
		.proven = tell_proven,
	};

	owner = process_number();
	if (!pthread_atfork(outbox_forking, outbox_fork_done, forked))
		conn_observer = &observer;
}

void report_begin(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, begin);
}

static bool is_told_of(const struct conn *c)
{
	return c->id && c->reported && c->phase == CONN_OPEN;
}

static void tell(const struct conn *c, enum message_type type)
{
	const struct message m = tell_of(c, type);

	report_put(&m);
}

void report_call(struct tcpcrypt_socket *s)
{
	const uint64_t now = now_coarse_ms();

	if (s->told_ms && now - s->told_ms < CALL_MS)
		return;
	if (s->told_ms && is_told_of(s->conn))
		tell(s->conn, MESSAGE_LIVE);
	s->told_ms = now;
}

void report_taken(struct tcpcrypt_socket *s)
{
	if (is_told_of(s->conn))
		tell(s->conn, MESSAGE_LIVE);
}

void report_left(struct tcpcrypt_socket *s)
{
	if (is_told_of(s->conn))
		tell(s->conn, MESSAGE_LEFT);
	s->conn->id = 0;
}

/* ---- what inproc/channel.c asks of a helper ---- */

/* Not where a program looks for its standard input and output. */
int kept_move_up(int fd)
{
	int moved;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	moved = next()->fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	next()->close(fd);
	return moved;
}

/* Questions are not answered (report_is_silent). */
void helper_poll(int fd)
{
}
