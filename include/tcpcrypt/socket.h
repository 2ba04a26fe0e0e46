/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP connections that are encrypted (RFC 8548) whenever the other end is willing. The caller
 * brings a TCP socket; the library negotiates on it, exchanges keys and makes and opens frames.
 * It needs the host's engine (tcpcryptd, or tcpcryptd --engine-only) and no privilege. Without
 * one, and with a peer that has no tcpcrypt, the connection is plain TCP, unless the caller
 * requires more. tcpcrypt_socket(3) has it at length.
 *
 * Results: 0, a positive TCPCRYPT_AGAIN or TCPCRYPT_EOF, or a negative enum tcpcrypt_error, with
 * which errno is set as well: to the system call's for TCPCRYPT_E_SYSTEM, else to the value that
 * comes nearest. A connection that has failed is reset, and stays failed.
 *
 * Waiting: calls wait if the descriptor does (O_NONBLOCK is looked at each time), as long as
 * SO_RCVTIMEO and SO_SNDTIMEO allow. TCPCRYPT_AGAIN says that they did not, or no longer, or that
 * a signal came; then poll() for tcpcrypt_socket_events() and call again. The descriptor is
 * readable and writable as for plain TCP: nothing is left in the library that poll(), select()
 * or epoll would not show, but there may be less than they promise.
 *
 * Threads: one may read while others write, and they wait for each other during the handshake
 * only. close() and free() are for the last one. Processes: see tcpcrypt_socket_take(). No signal
 * is raised (no SIGPIPE), no thread started.
 *
 * The daemon, if it can be reached, hears of connections by messages that nothing waits for: it
 * lists them, and later connections to the same host and port resume their sessions (RFC 8548
 * section 3.5) by themselves. setsockopt() of TCP_CRYPT_CACHE_FLUSH on the descriptor prevents or
 * ends that (tcp_eno(7)).
 */
#ifndef TCPCRYPT_SOCKET_H
#define TCPCRYPT_SOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <tcpcrypt/eno.h>
#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tcpcrypt_socket; /* opaque: a connection, or a listener */

/* Zero is the default of each member but size: who has fewer of them has those at zero, and more
 * than the library knows must be zero. Connections inherit them from their listener. */
struct tcpcrypt_socket_params {
	size_t size; /* sizeof(struct tcpcrypt_socket_params) */
	/* No plain connection: no SYN goes out without ENO, no payload in plain either way. */
	bool require;
	/* The application-aware bit (RFC 8547 section 4.2), for programs that authenticate by
	 * the session ID; mandatory: peers without it get a plain connection, or with require
	 * none. */
	bool app_aware;
	bool app_aware_mandatory;
	/* TEPs, most preferred first, and AEADs in decreasing preference, copied; NULL: as the
	 * host is configured. */
	const uint8_t *teps;
	size_t n_teps;
	const uint16_t *aeads;
	size_t n_aeads; /* at most 3 */
	/* Rekey after this many bytes of frames under one key; 0: the AEAD's default. */
	uint64_t rekey_bytes;
};

/*
 * Makes a socket object of fd, a TCP socket (IPv4 or IPv6) that is neither connected nor listens
 * yet, and that no other process or descriptor shares. params NULL: all defaults. On success the
 * object owns fd, which is close-on-exec from now on, since another program would have no keys;
 * on failure (NULL, the reason in *ret_error, which may be NULL) fd is the caller's as before.
 * TCPCRYPT_E_NO_ENGINE only with require: otherwise the connection will be plain. May take a
 * moment when it is the first one since the engine was started.
 */
struct tcpcrypt_socket *tcpcrypt_socket_new(int fd, const struct tcpcrypt_socket_params *params,
					    int *ret_error);

/*
 * connect(), and then the handshake: 0 when it is known whether the connection is encrypted and,
 * if so, the keys are agreed on. TCPCRYPT_AGAIN: go on with tcpcrypt_socket_handshake(). After an
 * error the object can only be freed.
 */
int tcpcrypt_socket_connect(struct tcpcrypt_socket *s, const struct sockaddr *to, socklen_t to_len);

/* listen(). 0 or an error. */
int tcpcrypt_socket_listen(struct tcpcrypt_socket *s, int backlog);

/*
 * accept4() of the next connection that is allowed to be; others are reset. from and from_len as
 * for accept(), NULL for no interest; flags: 0 or SOCK_NONBLOCK. It does not wait for the peer's
 * keys: the first call that needs them does. 0, and *ret is the caller's to close;
 * TCPCRYPT_AGAIN; or an error of the listener's.
 */
int tcpcrypt_socket_accept(struct tcpcrypt_socket *listener, struct sockaddr *from,
			   socklen_t *from_len, int flags, struct tcpcrypt_socket **ret);

/*
 * Goes on with the connection and the key exchange, as every other call does, too. 0: they are
 * done, and tcpcrypt_socket_info() has the session ID, or says why there is none.
 */
int tcpcrypt_socket_handshake(struct tcpcrypt_socket *s);

/*
 * Reads up to len bytes. 0: *ret_len bytes came, at least one (none only for len 0).
 * TCPCRYPT_EOF: the peer has ended its stream; of an encrypted connection this is authentic, and
 * a cut one gives TCPCRYPT_E_TRUNCATED or TCPCRYPT_E_SYSTEM (8548-3.7-2, 8548-3.7-3).
 */
int tcpcrypt_socket_read(struct tcpcrypt_socket *s, void *buf, size_t len, size_t *ret_len);

/*
 * Writes. 0: *ret_len bytes were taken, at least one (none only for len 0); a socket that waits
 * takes them all unless its time is up. What was taken may be under way in part: as long as
 * tcpcrypt_socket_events() has POLLOUT, tcpcrypt_socket_flush() or any other call must follow.
 * After tcpcrypt_socket_shutdown() TCPCRYPT_E_STATE, of a plain connection TCPCRYPT_E_SYSTEM, both
 * with EPIPE.
 */
int tcpcrypt_socket_write(struct tcpcrypt_socket *s, const void *buf, size_t len, size_t *ret_len);

/* Hands to the kernel what was taken earlier. 0: it has everything. */
int tcpcrypt_socket_flush(struct tcpcrypt_socket *s);

/*
 * Ends this direction: the peer reads what was written, then end of file (FINp, 8548-3.7-1).
 * Reading goes on. 0: the kernel has it all; TCPCRYPT_AGAIN: flush.
 */
int tcpcrypt_socket_shutdown(struct tcpcrypt_socket *s);

/*
 * Ends this direction if that was not done yet, closes the descriptor and frees the object.
 * TCPCRYPT_AGAIN: neither, there is something left to send: flush and call again, or free. In
 * every other case the object is gone; a negative result tells that the last bytes may be lost.
 * Before the keys are agreed on, with unread bytes, and with SO_LINGER at zero the connection is
 * reset, as TCP does in the last two cases. Accepts NULL.
 */
int tcpcrypt_socket_close(struct tcpcrypt_socket *s);

/*
 * Frees the object and closes the descriptor without a word to the peer, to whom that is an error
 * and no end of file, unless another process has the socket. Accepts NULL.
 */
void tcpcrypt_socket_free(struct tcpcrypt_socket *s);

/*
 * After fork() a connection stays the parent's, and so after _Fork() and clone() with memory of the
 * child's own: in the child other calls than free() and close(), which there is the same, give
 * TCPCRYPT_E_STATE, because two processes with the same keys would give them away. This one, in
 * the child, makes it the child's. The parent must do nothing with it from the fork on but
 * tcpcrypt_socket_free(), and no thread may have been in a call with it then. 0 or
 * TCPCRYPT_E_STATE: it is no connection. Listeners can be used by all.
 */
int tcpcrypt_socket_take(struct tcpcrypt_socket *s);

/* The descriptor: for poll(), socket options and addresses, not for I/O, shutdown() or close(). */
int tcpcrypt_socket_fd(const struct tcpcrypt_socket *s);

/*
 * What to poll() for. wanted: what the caller waits for as on plain TCP (POLLIN to read, POLLOUT
 * to write, 0: only for the handshake, or for what is left to flush); POLLIN and POLLOUT as that
 * comes about. 0: for nothing.
 */
short tcpcrypt_socket_events(struct tcpcrypt_socket *s, short wanted);

/*
 * Changes the keys (8548-3.8-2), also as a proof that the peer is alive: its answer shows in
 * tcpcrypt_socket_info() once it was read (8548-3.9-2). 0; TCPCRYPT_AGAIN: the last one is still
 * under way, or the handshake, or this direction has ended; TCPCRYPT_E_STATE: the connection is
 * plain.
 */
int tcpcrypt_socket_rekey(struct tcpcrypt_socket *s);

enum tcpcrypt_socket_state {
	TCPCRYPT_SOCKET_NEW,
	TCPCRYPT_SOCKET_LISTENING,
	TCPCRYPT_SOCKET_CONNECTING, /* TCP's handshake is under way */
	TCPCRYPT_SOCKET_EXCHANGING, /* encryption is negotiated, keys are not agreed on yet */
	TCPCRYPT_SOCKET_ENCRYPTED,
	TCPCRYPT_SOCKET_PLAIN,
	TCPCRYPT_SOCKET_FAILED,
};

/* What may be known of a socket. Pointers live as long as the object. */
struct tcpcrypt_socket_info {
	size_t size; /* sizeof(struct tcpcrypt_socket_info), by the caller */
	enum tcpcrypt_socket_state state;
	enum tcpcrypt_eno_reason reason; /* why it is plain, or would be; else TCPCRYPT_ENO_OK */
	int error;			 /* why it has failed; else 0 */
	/* From here on: zero unless encryption was negotiated. */
	bool peer_app_aware;
	bool resumed;
	enum tcpcrypt_role role;
	uint8_t tep;		    /* identifier without v */
	uint16_t aead;		    /* 0 until there are keys */
	const uint8_t *session_id;  /* TCPCRYPT_SESSION_ID_LEN bytes; NULL until there are keys */
	uint64_t local_generation;  /* of the keys: how often they were changed here, */
	uint64_t remote_generation; /* and as seen from the peer */
};

/* Fills *ret but for its size, which says how much of it there is. */
void tcpcrypt_socket_info(struct tcpcrypt_socket *s, struct tcpcrypt_socket_info *ret);

#ifdef __cplusplus
}
#endif
#endif
