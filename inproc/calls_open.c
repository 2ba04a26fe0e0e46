// SPDX-License-Identifier: BSD-2-Clause
/* The calls with which connections begin. */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <tcpcrypt/tcp_eno.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/negotiated.h"
#include "inproc/next.h"
#include "inproc/plain.h"
#include "inproc/settings.h"
#include "inproc/urgent.h"

/* What stays on the host is never encrypted; the engine would say so, too. */
static bool is_loopback(const struct sockaddr *to)
{
	const struct sockaddr_in *v4 = (const void *)to;
	const struct sockaddr_in6 *v6 = (const void *)to;

	if (to->sa_family == AF_INET)
		return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

static bool is_candidate(int fd, const struct sockaddr *to, socklen_t len)
{
	if (!table_is_sole(fd) || !to)
		return false;
	if (!(to->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) &&
	    !(to->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)))
		return false;
	return !is_loopback(to) && settings_on();
}

/* The connection's state is there before anybody could write to the socket. */
static bool prepare(int fd)
{
	struct conn *c;

	if (!conn_mark(fd, SHARED_INPROC_REMEMBERS))
		return false;
	c = conn_new();
	if (!c) {
		conn_mark(fd, SHARED_INPROC_OFF);
		return false;
	}
	c->connecting = true;
	c->connector = lives_own();
	if (c->urgent.wanted)
		urgent_owned(c, fd);
	table_enter(fd, c);
	return true;
}

/* No fork comes in between: a child would have a connection that has no memory of its own yet (boarding.h),
 * or a socket that has become one. */
static bool begin(int fd)
{
	struct table_close entering;
	bool begun;

	table_close_begin(&entering);
	begun = table_is_sole(fd) && prepare(fd);
	table_close_end(&entering);
	return begun;
}

/* There is no connection, and never was one. */
static void forget(int fd)
{
	table_forget(fd);
	conn_mark(fd, SHARED_INPROC_OFF);
}

/* Locks and looks at it, which does what can be done now. */
static void visit(int fd, bool returned)
{
	int saved = errno, error;
	struct conn *c = table_use(fd, &error);

	if (c) {
		c->connecting &= !returned;
		if (c->phase == CONN_EXPECT_KEYS || c->urgent.owned)
			helper_watch(c, fd);
		conn_unlock(c);
	}
	errno = saved;
}

CALL int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	int r;

	/* An attempt that has failed is forgotten. */
	if (table_get(fd))
		visit(fd, false);
	/* Asked again how a connection that is being made gets on; or disconnected. */
	if (table_get(fd)) {
		r = next()->connect(fd, to, len);
		if (!r && to && to->sa_family == AF_UNSPEC)
			forget(fd);
		else
			visit(fd, false);
		return r;
	}
	if (!is_candidate(fd, to, len) || plain_is_known(to) || !begin(fd))
		return next()->connect(fd, to, len);
	r = next()->connect(fd, to, len);
	conn_remembered = false;
	if (!r || errno == EINPROGRESS || errno == EINTR || errno == EALREADY || errno == EISCONN)
		visit(fd, true);
	else
		forget(fd);
	if (conn_remembered)
		plain_learn(to);
	return r;
}

/* Who brings an own TEP is no concern of ours. */
static bool is_raw(int fd)
{
	uint8_t bytes[TCP_ENO_RAW_MAX];
	socklen_t len = sizeof(bytes);

	return !next()->getsockopt(fd, IPPROTO_TCP, TCP_ENO_RAW, bytes, &len) && len;
}

CALL int listen(int fd, int backlog)
{
	if (table_is_listener(fd))
		calls_listener_mend(fd);
	else if (table_holds(fd) && !table_get(fd) && settings_on() &&
		 conn_mark(fd, SHARED_INPROC_RESUMES) && !is_raw(fd))
		table_listens(fd);
	return next()->listen(fd, backlog);
}

/* The program has it as one that was reset in the meantime, which may happen to it at any time. */
static bool adopt_lost(int fd)
{
	struct conn *c = table_holds(fd) ? conn_new() : NULL;

	if (!c || conn_lock(c))
		return false;
	conn_fail_for(c, fd, TCPCRYPT_E_NO_ENGINE);
	table_enter(fd, c);
	conn_unlock(c);
	return true;
}

void calls_listener_mend(int listener)
{
	if (table_is_listener(listener) && settings_on())
		negotiated_listener_mend(listener, table_listener_rests(listener), NULL, NULL);
}

void calls_listeners_mend(void)
{
	for (int fd = 0; fd < table_listeners_end(); fd++)
		calls_listener_mend(fd);
}

/*
 * The engine that the listener was marked by has gone, or another one has come. A connection whose SYN had
 * no ENO is plain; of any other nobody knows, and it is reset. Those that come later are as others again.
 */
static bool adopt_unknown(int listener, int fd, int r)
{
	const bool unknown = negotiated_syn_had_eno(fd);

	if (unknown || r == -ESTALE)
		calls_listener_mend(listener);
	return !unknown || adopt_lost(fd);
}

/* A connection that was accepted. What the engine knows of it decides. Returns false when it must not be
 * used. */
static bool adopt(int listener, int fd)
{
	struct shared_inproc inproc;
	struct conn *c;
	bool failed;
	int r;

	r = negotiated_ask(fd, &inproc);
	if (r)
		return r == -ENOENT || adopt_unknown(listener, fd, r);
	if (inproc.state == ENO_SOCK_DISABLED) {
		const bool other_engine = inproc.reason == ENO_SOCK_NO_ACK ||
					  inproc.reason == ENO_SOCK_SYN_COOKIE;

		if (other_engine)
			calls_listener_mend(listener);
		conn_observer->plain(&inproc, inproc.required);
		return !inproc.required || (other_engine && adopt_lost(fd));
	}
	/* Also when settings_off() has come since the listener said that it can. */
	c = table_holds(fd) && keys_crypto() ? conn_new() : NULL;
	if (!c || conn_lock(c))
		return false;
	conn_begin(c, fd, &inproc);
	explicit_bzero(&inproc, sizeof(inproc));
	failed = c->phase != CONN_EXPECT_KEYS && c->phase != CONN_OPEN;
	if (failed)
		conn_unref(c, lives_own());
	else
		table_enter(fd, c);
	if (c->phase == CONN_EXPECT_KEYS)
		helper_watch(c, fd);
	conn_unlock_release(c);
	return !failed;
}

static int accepted(int listener, int fd)
{
	const struct linger reset = { .l_onoff = 1 };
	struct table_close entering;
	int saved = errno;
	bool adopted;

	if (fd < 0)
		return fd;
	calls_new(fd);
	/* See begin(). */
	table_close_begin(&entering);
	adopted = adopt(listener, fd);
	table_close_end(&entering);
	if (!adopted) {
		next()->setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		next()->close(fd);
		errno = ECONNABORTED;
		return -1;
	}
	errno = saved;
	return fd;
}

CALL int accept(int fd, struct sockaddr *restrict from, socklen_t *restrict len)
{
	return accepted(fd, next()->accept(fd, from, len));
}

CALL int accept4(int fd, struct sockaddr *restrict from, socklen_t *restrict len, int flags)
{
	return accepted(fd, next()->accept4(fd, from, len, flags));
}

CALL int socket(int domain, int type, int protocol)
{
	int fd = next()->socket(domain, type, protocol);

	calls_new(fd);
	if (domain == AF_INET || domain == AF_INET6)
		table_made(fd);
	return fd;
}

CALL int socketpair(int domain, int type, int protocol, int fds[2])
{
	int r = next()->socketpair(domain, type, protocol, fds);

	if (!r) {
		calls_new(fds[0]);
		calls_new(fds[1]);
	}
	return r;
}
