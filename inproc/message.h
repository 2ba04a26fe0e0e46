/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What programs in in-process mode tell the daemon about their connections, on RUN_DIR/inproc.sock
 * (SOCK_SEQPACKET). A packet from a program is up to MESSAGES_MAX of these; who sends it says the
 * kernel (SCM_CREDENTIALS), and for all else its word is taken only about what is its user's. A
 * packet from the daemon is a question. Programs that are linked with libtcpcrypt have this inside,
 * of whatever version: messages and questions grow at their end only, and each end takes what it
 * knows.
 *
 * A connection is known by a number that its program chose, within the user. Several processes may
 * have it: each that uses it says so, and it has ended when one of them says so, or all are gone.
 */
#ifndef INPROC_MESSAGE_H
#define INPROC_MESSAGE_H

#include <stdint.h>

#include "bpf/shared.h"

#define MESSAGE_SOCKET_NAME    "inproc.sock"
#define MESSAGES_MAX	       64
#define MESSAGE_PACKET_MAX     32768 /* bytes, of longer messages than these as well */
#define MESSAGE_SESSION_ID_LEN 33
#define MESSAGE_SECRET_LEN     32
#define MESSAGE_SIZE_MIN       192 /* what the first ones had */

enum message_ask {
	MESSAGE_ASK_COUNTS = 'c', /* what has each connection carried? */
	MESSAGE_ASK_PROOF = 'p',  /* has this one's other end the keys? */
};

struct message_question {
	uint8_t what; /* enum message_ask */
	uint8_t pad[7];
	uint64_t id; /* of the connection */
};

enum message_type {
	MESSAGE_ESTABLISHED = 1,
	MESSAGE_LIVE,	  /* established before: to a new daemon, or by another process */
	MESSAGE_PLAIN,	  /* no encryption came of it; nothing more will be told */
	MESSAGE_ENDED,	  /* well, or (reason) not */
	MESSAGE_COUNTS,	  /* only the numbers are new */
	MESSAGE_ANSWERED, /* to MESSAGE_ASK_COUNTS: that was all */
	MESSAGE_PROVEN,	  /* to MESSAGE_ASK_PROOF: its answer to a key update has come */
	MESSAGE_LEFT,	  /* this process has it no longer; another one may */
};

/* Why a connection is plain or failed: a negative tcpcrypt error, one of these, or MESSAGE_BY_ENO
 * and an enum tcpcrypt_eno_reason. */
enum message_reason {
	MESSAGE_NO_REASON,
	MESSAGE_RESET,
	MESSAGE_TIMEOUT,
	MESSAGE_UNREACHABLE,
	MESSAGE_LOCAL_RESET,
	MESSAGE_HANDSHAKE_TIMEOUT,
	MESSAGE_NO_ACK,
	MESSAGE_SYN_RETRIES,
	MESSAGE_SYN_COOKIE,
	MESSAGE_BY_ENO = 100,
};

/* Why an encrypted one is not resumed. */
enum message_fresh {
	MESSAGE_FRESH_NO_SESSION,
	MESSAGE_FRESH_UNKNOWN,
};

struct message {
	uint16_t size; /* of this message: where the next one begins */
	uint8_t type;
	uint8_t outgoing;
	uint16_t aead;
	uint8_t role; /* enum tcpcrypt_role */
	uint8_t tep;  /* 0: none */
	uint8_t resumed;
	uint8_t fresh;	 /* enum message_fresh */
	uint8_t refused; /* MESSAGE_PLAIN: policy did not let it be so */
	uint8_t silent;	 /* its process answers no questions */
	int32_t reason;
	uint64_t id;
	uint64_t bytes_in, bytes_out, rekeys;
	double started; /* seconds since the epoch */
	struct shared_tuple ends;
	char comm[SHARED_COMM_LEN];
	uint64_t chain; /* MESSAGE_ENDED: what came by this one's secret could not be read; 0: no */
	uint8_t session_id[MESSAGE_SESSION_ID_LEN];
	uint8_t has_next; /* MESSAGE_ESTABLISHED: next, */
	uint8_t pad2[6];
	uint8_t next[MESSAGE_SECRET_LEN]; /* the secret that follows from the session's */
};

#endif
