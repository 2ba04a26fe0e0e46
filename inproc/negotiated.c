// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/negotiated.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "inproc/next.h"

/* Engines of other versions may say more. */
#define ANSWER_ROOM 512

/* For the engine to attach its guard. */
#define GUARD_TRIES    100
#define GUARD_PAUSE_NS 10000000L

int negotiated_mark(int fd, int how)
{
	/* It did not come: then no further socket waits for it. */
	static atomic_bool in_vain;
	const struct timespec pause = { .tv_nsec = GUARD_PAUSE_NS };

	for (int i = 0; i < GUARD_TRIES; i++) {
		if (!next()->setsockopt(fd, IPPROTO_TCP, TCP_CRYPT_INPROC, &how, sizeof(how))) {
			if (in_vain)
				in_vain = false;
			return 0;
		}
		if (errno != EAGAIN)
			return -errno;
		if (in_vain)
			return -EAGAIN;
		nanosleep(&pause, NULL);
	}
	in_vain = true;
	return -EAGAIN;
}

int negotiated_ask(int fd, struct shared_inproc *ret)
{
	union {
		struct shared_inproc inproc;
		uint8_t room[ANSWER_ROOM];
	} answer = {};
	socklen_t len = sizeof(answer);

	if (next()->getsockopt(fd, IPPROTO_TCP, TCP_CRYPT_INPROC, &answer, &len))
		return -errno;
	*ret = answer.inproc;
	explicit_bzero(&answer, sizeof(answer));
	return 0;
}

void negotiated_decide(const struct shared_inproc *inproc, struct tcpcrypt_eno_result *ret)
{
	/* What was enabled when the option was made stands in the option itself. */
	static const uint8_t implemented[] = { TCPCRYPT_TEP_X25519, TCPCRYPT_TEP_P256,
					       TCPCRYPT_TEP_X448, TCPCRYPT_TEP_P521 };
	struct tcpcrypt_eno_resume name = {
		.tep = inproc->secret.tep,
		.original_role = inproc->secret.original_role ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A,
	};
	const struct tcpcrypt_eno_settings settings = {
		.resume = inproc->resumed == SHARED_INPROC_RESUMED ? &name : NULL,
		.opener = inproc->passive ? TCPCRYPT_ENO_PASSIVE : TCPCRYPT_ENO_ACTIVE,
		.teps = implemented,
		.n_teps = sizeof(implemented),
		.mandatory_app_aware = inproc->mandatory_app_aware,
	};

	memcpy(name.identifier, inproc->secret.identifier, sizeof(name.identifier));
	*ret = (struct tcpcrypt_eno_result){ .reason = TCPCRYPT_ENO_ILL_FORMED };
	if (inproc->own_len > SHARED_OPTION_MAX || inproc->peer_len > SHARED_OPTION_MAX)
		return;
	tcpcrypt_eno_negotiate(&settings, inproc->own_len ? inproc->own : NULL, inproc->own_len,
			       inproc->peer_len ? inproc->peer : NULL, inproc->peer_len, ret);
}

bool negotiated_resumption(const struct shared_inproc *inproc,
			   const struct tcpcrypt_eno_result *result,
			   struct tcpcrypt_resumption *ret)
{
	if (!result->resumed || inproc->resumed != SHARED_INPROC_RESUMED)
		return false;
	memcpy(ret->secret, inproc->secret.secret, sizeof(ret->secret));
	ret->original_role = inproc->secret.original_role ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A;
	ret->aead = inproc->secret.aead;
	memcpy(ret->nonces, result->nonces, sizeof(ret->nonces));
	ret->nonces_len = result->nonces_len;
	return true;
}

/* The options list them as RFC 8548's examples do: for host B the last is preferred. */
size_t negotiated_aeads(int fd, enum tcpcrypt_role role, uint16_t ret[TCPCRYPT_AEADS_MAX])
{
	const int option = role == TCPCRYPT_ROLE_A ? TCP_CRYPT_ACONF : TCP_CRYPT_BCONF;
	uint8_t bytes[2 * TCPCRYPT_AEADS_MAX];
	socklen_t len = sizeof(bytes);
	size_t n;

	if (next()->getsockopt(fd, IPPROTO_TCP, option, bytes, &len))
		return 0;
	n = len / 2;
	for (size_t i = 0; i < n; i++) {
		size_t at = role == TCPCRYPT_ROLE_A ? i : n - 1 - i;

		ret[at] = bytes[2 * i] << 8 | bytes[2 * i + 1];
	}
	return n;
}

static void syns_keep(int listener, int keep)
{
	next()->setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &keep, sizeof(keep));
}

/* The kernel keeps them for who was marked, unless they rest. */
static bool keeps_syns(int listener)
{
	int keeps = 0;
	socklen_t len = sizeof(keeps);

	return !next()->getsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &keeps, &len) && keeps;
}

static bool is_listening(int fd)
{
	int listens = 0;
	socklen_t len = sizeof(listens);

	return !next()->getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) && listens;
}

bool negotiated_listener_mend(int listener, bool *rested, int (*wish)(int listener, const void *),
			      const void *data)
{
	struct shared_inproc inproc;
	int r;

	if (!is_listening(listener) || !(*rested || keeps_syns(listener)))
		return true;
	r = negotiated_ask(listener, &inproc);
	if (r == -ENOPROTOOPT) {
		syns_keep(listener, 0);
		*rested = true;
		return true;
	}
	/* Before the mark: what is answered must be known afterwards. */
	syns_keep(listener, 1);
	*rested = false;
	if (r != -ESTALE)
		return true;
	if (wish && wish(listener, data))
		return false;
	return !negotiated_mark(listener, SHARED_INPROC_AGAIN);
}

bool negotiated_syn_had_eno(int fd)
{
	uint8_t syn[256];
	socklen_t len = sizeof(syn);
	size_t at, end;

	/* Where there is no room for it, it had options. */
	if (next()->getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, syn, &len))
		return errno == EINVAL;
	if (len < 40)
		return false;
	/* Behind a header of another layer, or extension headers, anything may be. */
	if (syn[0] >> 4 != 4 && (syn[0] >> 4 != 6 || syn[6] != IPPROTO_TCP))
		return true;
	at = syn[0] >> 4 == 4 ? (syn[0] & 15) * 4 : 40;
	if (at + 20 > len)
		return true;
	end = at + (syn[at + 12] >> 4) * 4;
	for (at += 20; at + 1 < end && end <= len;) {
		if (syn[at] == 0)
			return false;
		if (syn[at] == TCPCRYPT_ENO_KIND)
			return true;
		at += syn[at] == 1 ? 1 : syn[at + 1] < 2 ? end : syn[at + 1];
	}
	return end > len;
}
