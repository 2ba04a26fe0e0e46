// SPDX-License-Identifier: BSD-2-Clause
/* What socket objects tell: why it failed, why it is plain, whose keys there are. */
#include <errno.h>
#include <string.h>

#include "inproc/negotiated.h"
#include "lib/socket.h"

/* What comes nearest; what the peer sent is as good as a reset. */
static int errno_of(int error)
{
	switch (error) {
	case TCPCRYPT_E_CRYPTO:
	case TCPCRYPT_E_RANDOM:
		return EIO;
	case TCPCRYPT_E_NOMEM:
		return ENOMEM;
	case TCPCRYPT_E_LIMIT:
		return EOVERFLOW;
	case TCPCRYPT_E_STATE:
		return ENOTCONN;
	case TCPCRYPT_E_ARGUMENT:
		return EINVAL;
	case TCPCRYPT_E_PLAIN:
		return ECONNREFUSED;
	case TCPCRYPT_E_NO_ENGINE:
		return ENOPROTOOPT;
	default:
		return ECONNRESET;
	}
}

int socket_error(int error)
{
	errno = errno_of(error);
	return error;
}

int socket_error_system(void)
{
	return TCPCRYPT_E_SYSTEM;
}

int socket_note_failure(struct tcpcrypt_socket *s)
{
	const struct conn *c = s->conn;

	if (!s->error) {
		s->error = c->cause ? c->cause : TCPCRYPT_E_SYSTEM;
		s->system_error = c->cause ? errno_of(c->cause) : c->tx_error;
	}
	errno = s->system_error;
	return s->error;
}

/* Why a SYN with these options was answered without one, or what the answer came to. */
static enum tcpcrypt_eno_reason reason_of(const struct shared_inproc *inproc)
{
	struct tcpcrypt_eno_result result;

	switch ((enum eno_sock_reason)inproc->reason) {
	case ENO_SOCK_NO_ACK:
		return TCPCRYPT_ENO_NO_ACK;
	case ENO_SOCK_SYN_RETRIES:
		return TCPCRYPT_ENO_SYN_RETRIES;
	case ENO_SOCK_SYN_COOKIE:
		return TCPCRYPT_ENO_SYN_COOKIE;
	case ENO_SOCK_BY_OPTIONS:
		break;
	}
	/* This host had nothing to say: its settings, or the program's. */
	if (!inproc->own_len && (inproc->peer_len || !inproc->passive))
		return TCPCRYPT_ENO_LEFT_ALONE;
	negotiated_decide(inproc, &result);
	/* The programs saw something that user space does not. */
	return result.reason == TCPCRYPT_ENO_OK ? TCPCRYPT_ENO_NO_OPTION : result.reason;
}

void socket_note_negotiated(struct tcpcrypt_socket *s, const struct shared_inproc *inproc)
{
	struct tcpcrypt_eno_result result;

	if (s->conn->phase == CONN_PLAIN || s->conn->cause == TCPCRYPT_E_PLAIN)
		s->reason = reason_of(inproc);
	if (s->conn->phase != CONN_EXPECT_KEYS && s->conn->phase != CONN_OPEN)
		return;
	negotiated_decide(inproc, &result);
	s->peer_app_aware = result.peer_global & TCPCRYPT_ENO_GLOBAL_A;
	if (s->conn->phase == CONN_EXPECT_KEYS)
		tcpcrypt_session_info(s->conn->session, &s->session);
}

void socket_note_keys(struct tcpcrypt_socket *s)
{
	tcpcrypt_session_info(s->conn->session, &s->session);
	memcpy(s->session_id, s->session.session_id, sizeof(s->session_id));
	s->session.session_id = s->session_id;
}

static enum tcpcrypt_socket_state state_of(const struct tcpcrypt_socket *s)
{
	if (s->listening)
		return TCPCRYPT_SOCKET_LISTENING;
	if (!s->conn)
		return TCPCRYPT_SOCKET_NEW;
	switch (s->conn->phase) {
	case CONN_EXPECT_TCP:
		return TCPCRYPT_SOCKET_CONNECTING;
	case CONN_EXPECT_KEYS:
		return TCPCRYPT_SOCKET_EXCHANGING;
	case CONN_OPEN:
		return TCPCRYPT_SOCKET_ENCRYPTED;
	case CONN_PLAIN:
		return TCPCRYPT_SOCKET_PLAIN;
	case CONN_FAILED:
		break;
	}
	return TCPCRYPT_SOCKET_FAILED;
}

static void describe(struct tcpcrypt_socket *s, struct tcpcrypt_socket_info *ret)
{
	struct tcpcrypt_session_info now = s->session;

	if (s->conn && s->conn->phase == CONN_OPEN)
		tcpcrypt_session_info(s->conn->session, &now);
	*ret = (struct tcpcrypt_socket_info){
		.state = state_of(s),
		.reason = s->reason,
		.error = s->error,
		.peer_app_aware = s->peer_app_aware,
		.resumed = now.resumed,
		.role = now.role,
		.tep = now.tep,
		.aead = now.aead,
		/* 8547-5.1-2, 8547-5.1-3: never a session ID without a session. */
		.session_id = s->session.session_id,
		.local_generation = now.local_generation,
		.remote_generation = now.remote_generation,
	};
}

void tcpcrypt_socket_info(struct tcpcrypt_socket *s, struct tcpcrypt_socket_info *ret)
{
	const size_t size = ret->size < sizeof(*ret) ? ret->size : sizeof(*ret);
	const size_t head = sizeof(ret->size);
	const bool locked = s->conn && !conn_lock(s->conn);
	struct tcpcrypt_socket_info info;

	describe(s, &info);
	if (locked)
		conn_unlock(s->conn);
	if (size > head)
		memcpy((uint8_t *)ret + head, (const uint8_t *)&info + head, size - head);
}
