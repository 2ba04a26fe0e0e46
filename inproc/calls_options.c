// SPDX-License-Identifier: BSD-2-Clause
/* Socket options that mean something else, or something at all, on an encrypted connection. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <string.h>
#include <tcpcrypt/tcp_eno.h>

#include "inproc/calls.h"
#include "inproc/helper.h"
#include "inproc/negotiated.h"
#include "inproc/next.h"
#include "inproc/plain.h"
#include "inproc/settings.h"

#define SESSION_MAX TCP_ENO_TRANSCRIPT_MAX /* the longest value */

/* ---- tcp_eno(7): as bpf/getsockopt.bpf.c answers for connections that the daemon carries ---- */

static bool tells_of_session(int name)
{
	switch (name) {
	case TCP_ENO_SESSID:
	case TCP_ENO_NEGTEP:
	case TCP_ENO_PEER_GOPT:
	case TCP_ENO_ROLE:
	case TCP_ENO_SELF_NAME:
	case TCP_ENO_PEER_NAME:
	case TCP_ENO_TRANSCRIPT:
	case TCP_ENO_STATE:
	case TCP_CRYPT_CONF:
	case TCP_CRYPT_RESUMED:
		return true;
	default:
		return false;
	}
}

/* What the session itself says, kept when it is asked for the first time. */
static int session_know(struct conn *c)
{
	struct tcpcrypt_session_info info;

	if (c->known)
		return 0;
	if (c->phase == CONN_FAILED)
		return -EINVAL;
	if (c->phase != CONN_OPEN)
		return -ENOTCONN;
	tcpcrypt_session_info(c->session, &info);
	c->known_name[0] = info.role;
	memcpy(c->known_name + 1, info.session_id, TCP_ENO_SESSID_LEN);
	c->known_aead = info.aead;
	c->known_resumed = info.resumed;
	c->known = true;
	return 0;
}

static int bytes(uint8_t *value, const void *from, size_t len)
{
	memcpy(value, from, len);
	return len;
}

static int number(uint8_t *value, int n)
{
	return bytes(value, &n, sizeof(n));
}

static int name_of(const struct conn *c, uint8_t *value, uint8_t flip)
{
	memcpy(value, c->known_name, TCP_ENO_NAME_LEN);
	value[0] ^= flip;
	return TCP_ENO_NAME_LEN;
}

/* What the two ENO options say, which the engine keeps. */
static int negotiated_read(const struct conn *c, int fd, int name, uint8_t *value)
{
	struct tcpcrypt_eno_result result;
	struct shared_inproc inproc;
	int r = negotiated_ask(fd, &inproc);

	if (r)
		return r;
	if (name == TCP_ENO_PEER_GOPT) {
		negotiated_decide(&inproc, &result);
		return number(value, result.peer_global);
	}
	if (inproc.own_len + inproc.peer_len > TCP_ENO_TRANSCRIPT_MAX)
		return -EINVAL;
	/* RFC 8547 section 4.8: host A's first. */
	if (c->known_name[0] == TCPCRYPT_ROLE_A) {
		memcpy(value, inproc.own, inproc.own_len);
		memcpy(value + inproc.own_len, inproc.peer, inproc.peer_len);
	} else {
		memcpy(value, inproc.peer, inproc.peer_len);
		memcpy(value + inproc.peer_len, inproc.own, inproc.own_len);
	}
	return inproc.own_len + inproc.peer_len;
}

/* The value and its length, or a negative errno value. */
static int session_read(struct conn *c, int fd, int name, uint8_t value[SESSION_MAX])
{
	int r = session_know(c);

	if (name == TCP_ENO_STATE)
		return number(value, r == -EINVAL ? TCP_ENO_UNCONNECTED
				     : r	  ? TCP_ENO_NEGOTIATING
						  : TCP_ENO_ENCRYPTING);
	if (r)
		return r;
	switch (name) {
	case TCP_ENO_SESSID: /* 8547-5.1-2 */
		return bytes(value, c->known_name + 1, TCP_ENO_SESSID_LEN);
	case TCP_ENO_NEGTEP: /* with v when it resumes a session: 8548-3.5 */
		return number(value, c->known_name[1] | c->known_resumed << 7);
	case TCP_ENO_ROLE:
		return number(value, c->known_name[0]);
	case TCP_ENO_SELF_NAME:
		return name_of(c, value, 0);
	case TCP_ENO_PEER_NAME:
		return name_of(c, value, 1);
	case TCP_CRYPT_CONF:
		value[0] = c->known_aead >> 8;
		value[1] = c->known_aead & 255;
		return 2;
	case TCP_CRYPT_RESUMED:
		return number(value, c->known_resumed);
	default:
		return negotiated_read(c, fd, name, value);
	}
}

/* Part of a session ID is none, so a buffer must have room for all. */
static int give(const uint8_t *from, int len, void *value, socklen_t *ret_len)
{
	if (len < 0)
		return len;
	if (*ret_len < (socklen_t)len)
		return -EINVAL;
	memcpy(value, from, len);
	*ret_len = len;
	return 0;
}

static int session_get(struct conn *c, int fd, int name, void *value, socklen_t *len)
{
	uint8_t own[SESSION_MAX];

	/* The program need not read first what has come already. */
	if (c->phase == CONN_EXPECT_KEYS)
		rx_keys(c, fd);
	return give(own, session_read(c, fd, name, own), value, len);
}

/* 8548-3.5-28: the engine sees to it. What it knew is gone with it, if it is. */
static int cache_flush(struct conn *c, int fd)
{
	const int one = 1;

	c->no_cache = true;
	if (!next()->setsockopt(fd, IPPROTO_TCP, TCP_CRYPT_CACHE_FLUSH, &one, sizeof(one)) ||
	    errno == ENOPROTOOPT)
		return 0;
	return -errno;
}

/* TCP_CRYPT_REKEY, TCP_CRYPT_CACHE_FLUSH: 1, on an encrypted connection. */
static int session_set(struct conn *c, int fd, int name, const void *value, socklen_t len)
{
	int on, r;

	if (len < sizeof(on))
		return -EINVAL;
	memcpy(&on, value, sizeof(on));
	if (on != 1)
		return -EINVAL;
	if (c->phase != CONN_OPEN)
		return c->phase == CONN_FAILED ? -EINVAL : -ENOTCONN;
	if (name == TCP_CRYPT_CACHE_FLUSH)
		return cache_flush(c, fd);
	/* 8548-3.8-6: one that is under way is as good. */
	r = tcpcrypt_session_rekey(c->session);
	if (r < 0)
		return -EINVAL;
	r = tx_flush(c, fd, 0);
	if (r == -EAGAIN)
		helper_watch(c, fd);
	return r == -EAGAIN ? 0 : r;
}

/* A connection that is plain already ends when its program learns to want no such. */
static int mandatory_late(int fd, int r)
{
	const struct sockaddr nowhere = { .sa_family = AF_UNSPEC };
	struct shared_inproc inproc;

	if (!r || errno != EINVAL || negotiated_ask(fd, &inproc) ||
	    inproc.state != ENO_SOCK_DISABLED)
		return r;
	return next()->connect(fd, &nowhere, sizeof(nowhere));
}

/* ---- the kernel's own ---- */

static int error_get(struct conn *c, int fd, void *value, socklen_t *len)
{
	int r = next()->getsockopt(fd, SOL_SOCKET, SO_ERROR, value, len), error;

	/* Programs that do not wait learn by this that they are connected. */
	if (c->phase == CONN_EXPECT_KEYS)
		helper_watch(c, fd);
	if (r || *len != sizeof(error))
		return r;
	memcpy(&error, value, sizeof(error));
	if (error && conn_is_closed(fd)) {
		/* Told now; but see conn_broken() for who reads. */
		conn_tx_broken(c, error);
		c->tx_error = 0;
	} else if (conn_tx_is_over(c) && c->tx_error) {
		/* What the kernel told us, it does not tell again. */
		memcpy(value, &c->tx_error, sizeof(error));
		c->tx_error = 0;
	}
	return 0;
}

/* As much as there is room for. */
static int rcvlowat_get(const struct conn *c, void *value, socklen_t *len)
{
	if ((int)*len < 0)
		return -EINVAL;
	if (*len > sizeof(c->rcvlowat))
		*len = sizeof(c->rcvlowat);
	memcpy(value, &c->rcvlowat, *len);
	return 0;
}

static bool is_ours_to_get(int level, int name)
{
	if (level == SOL_SOCKET)
		return name == SO_ERROR || name == SO_RCVLOWAT;
	return level == IPPROTO_TCP && (tells_of_session(name) || name == TCP_ZEROCOPY_RECEIVE);
}

static int get(struct conn *c, int fd, int level, int name, void *value, socklen_t *len)
{
	if (level == SOL_SOCKET && name == SO_ERROR)
		return error_get(c, fd, value, len);
	if (level == SOL_SOCKET && c->rcvlowat)
		return rcvlowat_get(c, value, len);
	if (level == SOL_SOCKET)
		return next()->getsockopt(fd, level, name, value, len);
	/* The kernel's pages have frames. */
	if (name == TCP_ZEROCOPY_RECEIVE)
		return -EOPNOTSUPP;
	return session_get(c, fd, name, value, len);
}

CALL int getsockopt(int fd, int level, int name, void *restrict value, socklen_t *restrict len)
{
	struct conn *c = NULL;
	int error = 0, r;

	if (table_get(fd) && is_ours_to_get(level, name))
		c = table_use(fd, &error);
	if (error)
		return calls_result(-error);
	if (!c || c->phase == CONN_EXPECT_TCP) {
		if (c)
			conn_unlock(c);
		return next()->getsockopt(fd, level, name, value, len);
	}
	r = get(c, fd, level, name, value, len);
	conn_unlock(c);
	return r < -1 ? (int)calls_result(r) : r;
}

static int rcvlowat_set(struct conn *c, const void *value, socklen_t len)
{
	int n;

	if ((int)len < (int)sizeof(n))
		return -EINVAL;
	memcpy(&n, value, sizeof(n));
	c->rcvlowat = n > 0 ? n : n < 0 ? INT32_MAX : 1;
	return 0;
}

static bool is_ours_to_set(int level, int name)
{
	if (level == SOL_SOCKET)
		return name == SO_RCVLOWAT || name == SO_PEEK_OFF || name == SO_OOBINLINE;
	return level == IPPROTO_TCP &&
	       (name == TCP_CRYPT_REKEY || name == TCP_CRYPT_CACHE_FLUSH || name == TCP_ULP);
}

static int set(struct conn *c, int fd, int level, int name, const void *value, socklen_t len)
{
	if (level == SOL_SOCKET && name == SO_RCVLOWAT)
		return rcvlowat_set(c, value, len);
	if (level == SOL_SOCKET && name == SO_OOBINLINE) {
		c->urgent.wanted = true;
		return next()->setsockopt(fd, level, name, value, len) ? -errno : 0;
	}
	if (level == SOL_SOCKET)
		return -EOPNOTSUPP;
	/* The kernel's TLS: programs do without where there is none. */
	if (name == TCP_ULP)
		return len ? -ENOENT : -EINVAL;
	return session_set(c, fd, name, value, len);
}

/* Whatever it was set to: the kernel is asked when it matters. Should the connection be another one by
 * now, that does no harm. */
static int linger_set(int fd, const void *value, socklen_t len)
{
	const int r = next()->setsockopt(fd, SOL_SOCKET, SO_LINGER, value, len);
	struct conn *c = table_get(fd);

	if (c)
		atomic_store(&c->lingers, true);
	return r;
}

/* No data in SYNs of connections that may be encrypted: connect() does without. What else the kernel has
 * to say of it is said. */
static int fastopen_set(int fd, const void *value, socklen_t len)
{
	const int off = 0;
	int on = 0;

	if (len >= sizeof(on))
		memcpy(&on, value, sizeof(on));
	return next()->setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, on == 1 ? &off : value,
				  len);
}

CALL int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	struct conn *c = NULL;
	int error = 0, r;

	if (level == IPPROTO_TCP && name == TCP_FASTOPEN_CONNECT && settings_on())
		return fastopen_set(fd, value, len);
	/* A listener with wishes and without a mark would be the proxy's to serve. */
	if (level == IPPROTO_TCP && name >= TCP_ENO_ENABLED && table_is_listener(fd))
		calls_listener_mend(fd);
	/* It tells when pages may be used again that frames are not made of. */
	if (level == SOL_SOCKET && name == SO_ZEROCOPY && settings_on())
		return calls_result(-EOPNOTSUPP);
	if (level == SOL_SOCKET && name == SO_LINGER)
		return linger_set(fd, value, len);
	if (level == SOL_SOCKET && name == SO_OOBINLINE)
		atomic_store(&conn_urgent_wanted, true);
	if (level == IPPROTO_TCP && name >= TCP_ENO_ENABLED && name <= TCP_CRYPT_NONCE_LEN)
		plain_distrust();
	if (table_get(fd) && is_ours_to_set(level, name))
		c = table_use(fd, &error);
	if (error)
		return calls_result(-error);
	if (!c || c->phase == CONN_EXPECT_TCP) {
		if (c)
			conn_unlock(c);
		r = next()->setsockopt(fd, level, name, value, len);
		return level == IPPROTO_TCP && name == TCP_ENO_TEP_MANDATORY ? mandatory_late(fd, r)
									     : r;
	}
	r = set(c, fd, level, name, value, len);
	conn_unlock(c);
	return calls_result(r);
}
