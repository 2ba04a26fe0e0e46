// SPDX-License-Identifier: BSD-2-Clause
/* How socket objects begin and end. */
#include "lib/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tcpcrypt/tcp_eno.h>

#include "bpf/shared.h"
#include "core/aead.h"
#include "inproc/negotiated.h"
#include "inproc/next.h"
#include "inproc/stream.h"
#include "lib/process.h"
#include "lib/report.h"

/* What the parameters had in the first version. */
#define PARAMS_SIZE_MIN (offsetof(struct tcpcrypt_socket_params, rekey_bytes) + sizeof(uint64_t))

static void unmark(int fd)
{
	const int saved = errno;

	negotiated_mark(fd, SHARED_INPROC_OFF);
	errno = saved;
}

static int wish(int fd, int option, const void *value, size_t len)
{
	if (next()->setsockopt(fd, IPPROTO_TCP, option, value, len))
		return errno == EINVAL ? TCPCRYPT_E_ARGUMENT : TCPCRYPT_E_SYSTEM;
	return 0;
}

/* Host A's list has no order; of host B's the last is preferred. */
static int wish_aeads(int fd, const uint16_t *aeads, size_t n)
{
	uint8_t a[2 * AEADS_OF_RFC], b[2 * AEADS_OF_RFC];
	int r;

	for (size_t i = 0; i < n; i++) {
		size_t last = n - 1 - i;

		a[2 * i] = b[2 * last] = aeads[i] >> 8;
		a[2 * i + 1] = b[2 * last + 1] = aeads[i] & 255;
	}
	r = wish(fd, TCP_CRYPT_ACONF, a, 2 * n);
	return r ? r : wish(fd, TCP_CRYPT_BCONF, b, 2 * n);
}

/* The programs look at all of it when the connection begins. What they may refuse comes first: after
 * that nothing is left in a socket that the caller keeps. */
static int wish_all(int fd, const struct tcpcrypt_socket_params *p)
{
	const int one = 1, aware = TCP_ENO_GOPT_A;
	int r = 0;

	if (p->teps)
		r = wish(fd, TCP_ENO_TEPS, p->teps, p->n_teps);
	if (!r && p->aeads)
		r = wish_aeads(fd, p->aeads, p->n_aeads);
	if (!r && p->require)
		r = wish(fd, TCP_ENO_TEP_MANDATORY, &one, sizeof(one));
	if (!r && (p->app_aware || p->app_aware_mandatory))
		r = wish(fd, TCP_ENO_SELF_GOPT, &aware, sizeof(aware));
	if (!r && p->app_aware_mandatory)
		r = wish(fd, TCP_ENO_AA_MANDATORY, &one, sizeof(one));
	return r;
}

/* Of a listener they are wanted once more: accepted(). */
static void params_keep(struct tcpcrypt_socket *s, const struct tcpcrypt_socket_params *p)
{
	s->params = *p;
	if (p->teps)
		s->params.teps = memcpy(s->teps, p->teps, p->n_teps);
	if (p->aeads)
		s->params.aeads = memcpy(s->aeads, p->aeads, p->n_aeads * sizeof(*p->aeads));
}

static bool is_tcp(int fd)
{
	int protocol = 0;
	socklen_t len = sizeof(protocol);

	return !next()->getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &len) &&
	       protocol == IPPROTO_TCP;
}

static int prepare(struct tcpcrypt_socket *s, const struct tcpcrypt_socket_params *p)
{
	int r;

	if (!is_tcp(s->fd))
		return socket_error(TCPCRYPT_E_ARGUMENT);
	s->require = p->require;
	s->rekey_bytes = p->rekey_bytes;
	r = negotiated_mark(s->fd, SHARED_INPROC_RESUMES);
	s->marked = r == 0;
	if (r == -ENOPROTOOPT)
		return p->require ? socket_error(TCPCRYPT_E_NO_ENGINE) : 0;
	if (r)
		return socket_error_system();
	r = wish_all(s->fd, p);
	if (r) {
		r = r == TCPCRYPT_E_SYSTEM ? socket_error_system() : socket_error(r);
		unmark(s->fd);
	} else {
		params_keep(s, p);
	}
	return r;
}

/* Each at most once, and at least one. */
static bool aeads_valid(const uint16_t *aeads, size_t n)
{
	if (!n || n > AEADS_OF_RFC)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!aead_find(aeads[i]))
			return false;
		for (size_t j = 0; j < i; j++)
			if (aeads[j] == aeads[i])
				return false;
	}
	return true;
}

/* A program may have an older header, or a newer one whose members this library does not know:
 * those it must not miss. */
static int params_read(const struct tcpcrypt_socket_params *from, struct tcpcrypt_socket_params *to)
{
	const uint8_t *bytes = (const uint8_t *)from;
	const size_t size = from ? from->size : 0;

	memset(to, 0, sizeof(*to));
	if (!from)
		return 0;
	if (size < PARAMS_SIZE_MIN)
		return TCPCRYPT_E_ARGUMENT;
	for (size_t i = sizeof(*to); i < size; i++)
		if (bytes[i])
			return TCPCRYPT_E_ARGUMENT;
	memcpy(to, from, size < sizeof(*to) ? size : sizeof(*to));
	if ((!to->teps && to->n_teps) || (!to->aeads && to->n_aeads))
		return TCPCRYPT_E_ARGUMENT;
	return to->aeads && !aeads_valid(to->aeads, to->n_aeads) ? TCPCRYPT_E_ARGUMENT : 0;
}

struct tcpcrypt_socket *tcpcrypt_socket_new(int fd, const struct tcpcrypt_socket_params *params,
					    int *ret_error)
{
	struct tcpcrypt_socket_params p;
	struct tcpcrypt_socket *s = NULL;
	int r;

	r = params_read(params, &p);
	if (r)
		r = socket_error(r);
	else if (!(s = calloc(1, sizeof(*s))))
		r = socket_error(TCPCRYPT_E_NOMEM);
	else {
		s->fd = fd;
		r = prepare(s, &p);
	}
	/* A program that is executed would not have the keys. */
	if (!r && next()->fcntl(fd, F_SETFD, FD_CLOEXEC))
		r = socket_error_system();
	if (r) {
		free(s);
		s = NULL;
	}
	if (ret_error)
		*ret_error = r;
	return s;
}

static int conn_make(struct tcpcrypt_socket *s)
{
	if (!process_watch())
		return socket_error(TCPCRYPT_E_NOMEM);
	report_begin();
	s->process = process_number();
	s->conn = conn_new();
	if (!s->conn)
		return socket_error(TCPCRYPT_E_NOMEM);
	s->conn->rekey_bytes = s->rekey_bytes;
	return 0;
}

/* As far as it goes without waiting. */
static int advance(struct tcpcrypt_socket *s)
{
	int r = socket_lock(s);

	if (r)
		return r;
	r = socket_advance(s);
	conn_unlock(s->conn);
	return r;
}

int tcpcrypt_socket_connect(struct tcpcrypt_socket *s, const struct sockaddr *to, socklen_t to_len)
{
	int r;

	if (s->conn || s->listening)
		return socket_error(TCPCRYPT_E_STATE);
	r = conn_make(s);
	if (r)
		return r;
	s->connecting = true;
	if (!next()->connect(s->fd, to, to_len))
		return tcpcrypt_socket_handshake(s);
	/* It does not wait, or SO_SNDTIMEO is over. */
	if (errno == EINPROGRESS)
		return advance(s);
	if (errno == EINTR)
		return TCPCRYPT_AGAIN;
	/* Nobody else knows of it yet. */
	s->connecting = false;
	conn_broken(s->conn, errno);
	return socket_note_failure(s);
}

int tcpcrypt_socket_listen(struct tcpcrypt_socket *s, int backlog)
{
	if (s->conn)
		return socket_error(TCPCRYPT_E_STATE);
	if (next()->listen(s->fd, backlog))
		return socket_error_system();
	s->listening = true;
	return 0;
}

/* Errors that accept() has of the connection, and not of the listener. */
static bool is_connections_own(int error)
{
	return error == ECONNABORTED || error == EPROTO || error == ENOPROTOOPT ||
	       error == ENETDOWN || error == ENETUNREACH || error == EHOSTDOWN ||
	       error == EHOSTUNREACH || error == ENONET || error == EOPNOTSUPP;
}

static void reset(int fd)
{
	const struct linger linger = { .l_onoff = 1 };

	next()->setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	next()->close(fd);
}

static int wish_again(int listener, const void *params)
{
	return wish_all(listener, params);
}

/* The engine has gone, or another one has come. */
static void listener_mend(struct tcpcrypt_socket *listener, const struct tcpcrypt_socket *s)
{
	if (s->lost && listener->marked)
		negotiated_listener_mend(listener->fd, &listener->rested, wish_again,
					 &listener->params);
}

/* Takes fd over, also when it fails. */
static struct tcpcrypt_socket *accepted(struct tcpcrypt_socket *listener, int fd)
{
	struct tcpcrypt_socket *s = calloc(1, sizeof(*s));
	bool usable;

	if (s) {
		s->fd = fd;
		s->accepted = true;
		s->marked = listener->marked;
		s->require = listener->require;
		s->rekey_bytes = listener->rekey_bytes;
		/* As far as it is known by now whether the connection may be used. */
		usable = !conn_make(s) && advance(s) >= 0;
		listener_mend(listener, s);
		if (usable)
			return s;
	}
	reset(fd);
	if (s) {
		s->fd = -1;
		tcpcrypt_socket_free(s);
	}
	return NULL;
}

int tcpcrypt_socket_accept(struct tcpcrypt_socket *listener, struct sockaddr *from,
			   socklen_t *from_len, int flags, struct tcpcrypt_socket **ret)
{
	const socklen_t room = from_len ? *from_len : 0;
	struct tcpcrypt_socket *s = NULL;
	int fd;

	if (!listener->listening)
		return socket_error(TCPCRYPT_E_STATE);
	while (!s) {
		if (from_len)
			*from_len = room;
		fd = next()->accept4(listener->fd, from, from_len, flags | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EAGAIN || errno == EINTR))
			return TCPCRYPT_AGAIN;
		if (fd < 0 && !is_connections_own(errno))
			return socket_error_system();
		if (fd >= 0)
			s = accepted(listener, fd);
	}
	*ret = s;
	return 0;
}

/* A program that wants its connection reset gets that; as does one that leaves unread what came. */
static bool ends_by_reset(struct tcpcrypt_socket *s)
{
	struct linger linger = {};
	socklen_t len = sizeof(linger);

	if (!next()->getsockopt(s->fd, SOL_SOCKET, SO_LINGER, &linger, &len) && linger.l_onoff &&
	    !linger.l_linger)
		return true;
	return rx_has_unread(s->conn, s->fd);
}

/* As far as it goes without waiting. */
static int end(struct tcpcrypt_socket *s)
{
	struct conn *c = s->conn;
	int r = 0;

	if (c->phase == CONN_FAILED)
		return socket_note_failure(s);
	if (c->phase == CONN_EXPECT_KEYS ||
	    (c->phase == CONN_OPEN && !c->fin_sealed && ends_by_reset(s)))
		c->error = ECONNABORTED;
	/* Who looked for unread bytes may have met the peer's reset. */
	if (c->phase == CONN_FAILED)
		return socket_note_failure(s);
	if (c->phase == CONN_EXPECT_KEYS)
		conn_fail(c, s->fd);
	if (c->phase == CONN_OPEN && !c->error)
		r = socket_finish(s, true);
	if (!r)
		conn_ended(c);
	return r;
}

int tcpcrypt_socket_close(struct tcpcrypt_socket *s)
{
	int r = TCPCRYPT_AGAIN;

	while (s && r == TCPCRYPT_AGAIN) {
		if (socket_lock(s))
			break;
		r = end(s);
		conn_unlock(s->conn);
		if (r == TCPCRYPT_AGAIN && socket_wait(s, 0))
			return r;
	}
	tcpcrypt_socket_free(s);
	return r < 0 ? r : 0;
}

void tcpcrypt_socket_free(struct tcpcrypt_socket *s)
{
	const int saved = errno;

	if (!s)
		return;
	if (s->fd >= 0)
		next()->close(s->fd);
	if (s->conn && !conn_lock(s->conn)) {
		if (s->process == process_number())
			report_left(s);
		/* Another process's, who says what becomes of it. */
		s->conn->id = 0;
		s->conn->refs = 0;
		conn_unlock_release(s->conn);
	}
	free(s);
	errno = saved;
}

int tcpcrypt_socket_take(struct tcpcrypt_socket *s)
{
	if (!s->conn)
		return socket_error(TCPCRYPT_E_STATE);
	s->process = process_number();
	if (conn_lock(s->conn))
		return 0;
	report_taken(s);
	conn_unlock(s->conn);
	return 0;
}

int tcpcrypt_socket_fd(const struct tcpcrypt_socket *s)
{
	return s->fd;
}
