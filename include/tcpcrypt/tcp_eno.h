/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The socket options of TCP-ENO and tcpcrypt, for setsockopt() and getsockopt() at level
 * IPPROTO_TCP. They work in every program, in any language, on sockets of a network
 * namespace that tcpcryptd serves; where it does not run they fail with ENOPROTOOPT.
 * tcp_eno(7) describes them.
 *
 * A read-only option succeeds only while the connection is encrypted: ENOTCONN before
 * (also for a moment after connect() and accept(), until the keys are agreed on), EINVAL
 * when it is not going to be, or when the buffer is too small. EISCONN: too late to set.
 */
#ifndef TCPCRYPT_TCP_ENO_H
#define TCPCRYPT_TCP_ENO_H

#define TCP_ENO_ENABLED	      1026 /* int -1, 0, 1: let policy decide, off, on */
#define TCP_ENO_SESSID	      1027 /* read: session ID, TEP byte first */
#define TCP_ENO_NEGTEP	      1028 /* read: int, negotiated TEP with B's v bit */
#define TCP_ENO_TEPS	      1029 /* bytes: TEPs, most preferred first; empty: off */
#define TCP_ENO_SELF_GOPT     1030 /* int 0-31: own global suboption */
#define TCP_ENO_PEER_GOPT     1031 /* read: int 0-31 */
#define TCP_ENO_AA_MANDATORY  1032 /* int 0, 1: no ENO unless the peer is application-aware */
#define TCP_ENO_TEP_MANDATORY 1033 /* int 0, 1: no connection unless encrypted */
#define TCP_ENO_ROLE	      1034 /* read: int, 0 for host A, 1 for B */
#define TCP_ENO_SELF_NAME     1035 /* read: role byte, session ID */
#define TCP_ENO_PEER_NAME     1036 /* read: the other end's SELF_NAME */
#define TCP_ENO_RAW	      1037 /* bytes: SYN-form contents for a TEP of the program's own */
#define TCP_ENO_TRANSCRIPT    1038 /* read: RFC 8547 section 4.8 */
#define TCP_ENO_STATE	      1039 /* read: int, TCP_ENO_STATE_PHASE() and _REASON() */
#define TCP_CRYPT_CONF	      1040 /* read: AEAD in use, two bytes */
#define TCP_CRYPT_CACHE_FLUSH 1041 /* write: int 1, no cached secrets for this connection */
#define TCP_CRYPT_ACONF	      1042 /* bytes: AEADs offered as host A, two bytes each */
#define TCP_CRYPT_BCONF	      1043 /* bytes: AEADs accepted as host B, least preferred first */
#define TCP_CRYPT_RESUMED     1044 /* read: int 0, 1 */
#define TCP_CRYPT_REKEY	      1045 /* write: int 1, update keys now */
#define TCP_CRYPT_NONCE_LEN   1046 /* int 0-8: resumption nonce */

#define TCP_ENO_SESSID_LEN     33
#define TCP_ENO_NAME_LEN       34
#define TCP_ENO_RAW_MAX	       38 /* the TCP option area less kind and length */
#define TCP_ENO_TRANSCRIPT_MAX 80

/* Bits of the global suboption. */
#define TCP_ENO_GOPT_B 0x01 /* passive role */
#define TCP_ENO_GOPT_A 0x02 /* the application is aware of ENO */

/* TCP_ENO_STATE: where the connection stands, and if it is plain, why. */
#define TCP_ENO_STATE_PHASE(state)  ((state)&0xff)
#define TCP_ENO_STATE_REASON(state) (((state) >> 8) & 0xff)

enum tcp_eno_phase {
	TCP_ENO_UNCONNECTED, /* also: listening, or ended before it was encrypted */
	TCP_ENO_NEGOTIATING,
	TCP_ENO_ENCRYPTING, /* with TCP_ENO_RAW: negotiated */
	TCP_ENO_DISABLED,
};

enum tcp_eno_reason {
	TCP_ENO_REASON_NONE,
	TCP_ENO_REASON_NO_OPTION,     /* the peer's SYN has no ENO option, or several */
	TCP_ENO_REASON_ILL_FORMED,    /* RFC 8547 section 4.4 */
	TCP_ENO_REASON_VACUOUS,	      /* the peer's option names no TEP */
	TCP_ENO_REASON_ROLE_CONFLICT, /* both sent the same b bit */
	TCP_ENO_REASON_NOT_APP_AWARE, /* TCP_ENO_AA_MANDATORY, and the peer is not */
	TCP_ENO_REASON_NO_COMMON_TEP,
	TCP_ENO_REASON_NO_ACK,	     /* the ACK that ends the handshake came without ENO */
	TCP_ENO_REASON_SYN_RETRIES,  /* the SYN was answered only when it had no ENO */
	TCP_ENO_REASON_SYN_COOKIE,   /* this host was flooded */
	TCP_ENO_REASON_LEFT_ALONE,   /* not the daemon's business; see tcp_eno(7) */
	TCP_ENO_REASON_SWITCHED_OFF, /* TCP_ENO_ENABLED 0, or no TCP_ENO_TEPS */
};

#endif
