/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Outcomes of every tcpcrypt function, one convention throughout:
 *
 *   0         done
 *   negative  fatal for the connection; pass it on unchanged and abort the
 *             connection (TCP RST): the application must see an error, never an
 *             end of file (RFC 8548 section 3.3, 3.6, 3.7)
 *   positive  a documented outcome that the direct caller handles
 *
 * Negative values say whose fault it is: the peer's (or the network's), our
 * own, or the host's. The names that tcpcrypt_error_name() gives are stable; the daemon counts
 * failures under them.
 */
#ifndef TCPCRYPT_ERROR_H
#define TCPCRYPT_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* Not an error: more bytes are needed before the call can do anything; of a socket: it would
 * have to wait. */
#define TCPCRYPT_AGAIN 1

/* Not an error: the peer has ended its stream. */
#define TCPCRYPT_EOF 2

enum tcpcrypt_error {
	/* What the peer, or somebody on the way, sent. */
	TCPCRYPT_E_BAD_MAGIC = -1,	/* stream does not start with Init1/Init2 */
	TCPCRYPT_E_BAD_INIT = -2,	/* Init message: impossible lengths or counts */
	TCPCRYPT_E_NO_CIPHER = -3,	/* Init1 lists no AEAD that we accept */
	TCPCRYPT_E_BAD_CIPHER = -4,	/* Init2 names an AEAD that we did not offer */
	TCPCRYPT_E_BAD_KEY = -5,	/* public key failed validation (section 5) */
	TCPCRYPT_E_BAD_FRAME = -6,	/* frame: impossible length or contents */
	TCPCRYPT_E_AUTH = -7,		/* frame did not authenticate */
	TCPCRYPT_E_TRUNCATED = -8,	/* TCP FIN without FINp (section 3.7) */
	TCPCRYPT_E_AFTER_FIN = -9,	/* bytes after the FINp frame */
	/* Ourselves. */
	TCPCRYPT_E_CRYPTO = -20,	/* the crypto backend failed */
	TCPCRYPT_E_RANDOM = -21,	/* no randomness */
	TCPCRYPT_E_NOMEM = -22,		/* no memory */
	TCPCRYPT_E_LIMIT = -23,		/* offset or generation would wrap */
	TCPCRYPT_E_STATE = -24,		/* the call is not allowed in this state */
	TCPCRYPT_E_ARGUMENT = -25,	/* the caller's arguments are impossible */
	/* The host, or TCP; of sockets only. */
	TCPCRYPT_E_SYSTEM = -40,	/* a system call failed, or the connection did: see errno */
	TCPCRYPT_E_PLAIN = -41,		/* encryption is required, and was not negotiated */
	TCPCRYPT_E_NO_ENGINE = -42,	/* there is none, where one is required or was before */
};

/*
 * A stable short name for a negative outcome ("auth-failed", "truncated", ...),
 * made of lower-case letters and hyphens; "unknown" for anything else. Static.
 */
const char *tcpcrypt_error_name(int error);

#ifdef __cplusplus
}
#endif
#endif
