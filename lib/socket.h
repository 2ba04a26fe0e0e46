/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is behind <tcpcrypt/socket.h>: a connection (inproc/conn.h) with a descriptor, and what is
 * to be told of it. Functions here want the connection locked.
 */
#ifndef LIB_SOCKET_H
#define LIB_SOCKET_H

#include <tcpcrypt/socket.h>

#include "bpf/shared.h"
#include "inproc/conn.h"

#define AEADS_OF_RFC 3

struct tcpcrypt_socket {
	int fd;
	bool marked; /* there is an engine */
	bool rested; /* of a listener: see negotiated_listener_mend() */
	bool lost; /* the engine did not know of this accepted connection, or may not know its listener */
	/* As they were given; what they lead to is behind them. */
	struct tcpcrypt_socket_params params;
	uint8_t teps[SHARED_TEPS_MAX];
	uint16_t aeads[AEADS_OF_RFC];
	bool require;
	bool listening;
	bool accepted;
	unsigned int process; /* process_number() of the one that may use it */
	bool connecting;      /* TCP is; of it nobody tells but the kernel */
	uint64_t rekey_bytes;
	uint64_t told_ms;  /* when the daemon heard of it last: report_call() */
	struct conn *conn; /* NULL: neither connects nor is connected */
	/* To tell. */
	enum tcpcrypt_eno_reason reason;
	int error, system_error; /* the first one, and errno with it */
	bool peer_app_aware;
	struct tcpcrypt_session_info session;
	uint8_t session_id[TCPCRYPT_SESSION_ID_LEN];
};

/* Sets errno to what comes nearest to a negative result of the library's own. Returns it. */
int socket_error(int error);

/* The same for a system call that has failed just now. */
int socket_error_system(void);

/* What has happened to the connection of s is noted. Returns the error of one that failed. */
int socket_note_failure(struct tcpcrypt_socket *s);
void socket_note_negotiated(struct tcpcrypt_socket *s, const struct shared_inproc *inproc);
void socket_note_keys(struct tcpcrypt_socket *s);

/*
 * As far as it goes without waiting: TCP's handshake, what was negotiated, the keys. 0: done;
 * TCPCRYPT_AGAIN; or an error.
 */
int socket_advance(struct tcpcrypt_socket *s);

/* FINp, and the rest before it; closing: without TCP's FIN. As socket_advance(). */
int socket_finish(struct tcpcrypt_socket *s, bool closing);

/* Locks; or TCPCRYPT_E_STATE: there is no connection, or it is another process's, or a signal
 * handler came in between. */
int socket_lock(struct tcpcrypt_socket *s);

/*
 * Without the lock, after TCPCRYPT_AGAIN: waits for what socket_events_now() says, if the
 * descriptor does. 0: call again; TCPCRYPT_AGAIN: it does not, or no longer; or an error.
 */
int socket_wait(struct tcpcrypt_socket *s, short wanted);
short socket_events_now(const struct tcpcrypt_socket *s, short wanted);

#endif
