/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One end of one encrypted connection (RFC 8548), as a pure state machine: bytes
 * from the network or from the application go in, bytes and events come out. It
 * makes no system call, reads no clock and keeps no buffer of its own; who calls
 * it owns the socket, the buffers and the timers.
 *
 * Use: decide by TCP-ENO (<tcpcrypt/eno.h>) that the connection is encrypted, then
 * tcpcrypt_session_init() and, until an error:
 *   - tcpcrypt_session_output() whenever tcpcrypt_session_has_output(), and write
 *     the result to the socket, before anything else;
 *   - tcpcrypt_session_receive() on what the socket gave;
 *   - tcpcrypt_session_send() for application data once established.
 * Any negative result means: abort the TCP connection (RST) and give the
 * application an error that is not end of file.
 *
 * A session belongs to one thread at a time.
 */
#ifndef TCPCRYPT_SESSION_H
#define TCPCRYPT_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/crypto.h>
#include <tcpcrypt/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* TEP identifiers, RFC 8548 table 4. */
#define TCPCRYPT_TEP_P256   0x21
#define TCPCRYPT_TEP_P521   0x22
#define TCPCRYPT_TEP_X25519 0x23
#define TCPCRYPT_TEP_X448   0x24

/* AEAD identifiers, RFC 8548 table 5. */
#define TCPCRYPT_AEAD_AES_128_GCM	0x0001
#define TCPCRYPT_AEAD_AES_256_GCM	0x0002
#define TCPCRYPT_AEAD_CHACHA20_POLY1305 0x0010

#define TCPCRYPT_SESSION_ID_LEN 33 /* TEP byte, then K_LEN bytes */
#define TCPCRYPT_SECRET_LEN	32 /* K_LEN */
#define TCPCRYPT_TRANSCRIPT_MAX 80 /* two TCP options of 40 bytes at most */
#define TCPCRYPT_AEADS_MAX	8  /* AEADs in one offer or preference list */

/*
 * Room that tcpcrypt_session_send() needs around the data: control, clen and flags
 * before it (with urgent two bytes more), the tag after it. Data per frame is
 * bounded by clen < 2^16 (8548-3.6-2).
 */
#define TCPCRYPT_FRAME_HEADROOM	       4
#define TCPCRYPT_FRAME_HEADROOM_URGENT 6
#define TCPCRYPT_FRAME_TAILROOM	       TCPCRYPT_AEAD_TAG_LEN
#define TCPCRYPT_FRAME_DATA_MAX	       (65535 - TCPCRYPT_AEAD_TAG_LEN - 3)
#define TCPCRYPT_FRAME_MAX	       (3 + 65535)

/* No single tcpcrypt_session_output() is longer. */
#define TCPCRYPT_OUTPUT_MAX 256

/* A buffer of this size always lets tcpcrypt_session_receive() make progress. */
#define TCPCRYPT_RECEIVE_MAX 65538

enum tcpcrypt_role { TCPCRYPT_ROLE_A, TCPCRYPT_ROLE_B };

struct tcpcrypt_session; /* opaque */

/* A cached session to resume (RFC 8548 section 3.5). */
struct tcpcrypt_resumption {
	uint8_t secret[TCPCRYPT_SECRET_LEN]; /* ss[i] */
	enum tcpcrypt_role original_role;    /* this host's role in the session with ss[0] */
	uint16_t aead;			     /* the original session's (decision D8) */
	uint8_t nonces[16];		     /* sn[i] = nonce_a | nonce_b of the original A and B */
	size_t nonces_len;		     /* 0..16 */
};

/*
 * What decrypts everything that both ends of a session send, for who debugs own connections
 * (8547-5-6). doc/keylog.md has the key log that the daemon writes of it.
 */
struct tcpcrypt_keylog {
	const uint8_t *session_id; /* TCPCRYPT_SESSION_ID_LEN bytes */
	const uint8_t *master;	   /* mk[0], TCPCRYPT_SECRET_LEN bytes */
	uint16_t aead;
	enum tcpcrypt_role sends_as;   /* A: this host's frames are under k_ab, B: under k_ba */
	uint64_t tx_offset, rx_offset; /* where each direction's first frame begins */
};

struct tcpcrypt_session_params {
	size_t size; /* sizeof(struct tcpcrypt_session_params) */
	const struct tcpcrypt_crypto *crypto;
	enum tcpcrypt_role role; /* as negotiated by TCP-ENO */
	uint8_t tep_byte;	 /* the negotiated TEP as host B sent it, v bit included */
	const uint8_t *transcript; /* RFC 8547 section 4.8; copied */
	size_t transcript_len;
	/* AEADs in decreasing preference: offered in Init1, or chosen from by host B
	 * (8548-3.3-6). At most TCPCRYPT_AEADS_MAX; copied. Unused when resuming. */
	const uint16_t *aeads;
	size_t n_aeads;
	/* Rekey after this many bytes of frames under one key; 0: the AEAD's default. */
	uint64_t rekey_bytes;
	/* Non-NULL: resume instead of exchanging keys; copied. Requires v in tep_byte. */
	const struct tcpcrypt_resumption *resume;
	/* Non-NULL: an ephemeral key pair made ahead for this TEP, which the session
	 * takes over in every case, error included; it is used once. */
	struct tcpcrypt_keypair *keypair;
	/* Non-NULL: called once, when the keys are agreed, from the call that agrees on them.
	 * What it is given lives as long as the call. NULL in every program for users. */
	void (*keylog)(void *data, const struct tcpcrypt_keylog *secrets);
	void *keylog_data;
};

/*
 * Size in bytes, and alignment max_align_t, of the memory that init needs. The
 * caller owns it; it should be locked and excluded from dumps (it holds keys).
 */
size_t tcpcrypt_session_size(void);

/*
 * Starts a session in caller-owned memory of tcpcrypt_session_size() bytes. As role A
 * with fresh keys it has output (Init1) at once; resumed, it is established at once.
 * Returns 0 or a negative error; after an error the memory holds nothing to deinit.
 */
int tcpcrypt_session_init(struct tcpcrypt_session *s, const struct tcpcrypt_session_params *p);

/* Wipes every secret and frees what the backend holds. Safe to repeat; accepts NULL. */
void tcpcrypt_session_deinit(struct tcpcrypt_session *s);

/* The same over malloc(), for callers without a memory pool. new gives NULL on failure
 * with the reason in *ret_error (may be NULL); free accepts NULL. Not in freestanding builds. */
struct tcpcrypt_session *tcpcrypt_session_new(const struct tcpcrypt_session_params *p,
					      int *ret_error);
void tcpcrypt_session_free(struct tcpcrypt_session *s);

/* What one call of tcpcrypt_session_receive() brought. */
#define TCPCRYPT_RX_ESTABLISHED 0x01 /* keys agreed: session ID known, sending allowed */
#define TCPCRYPT_RX_DATA	0x02 /* data/data_len hold application bytes (at least one) */
#define TCPCRYPT_RX_EOF		0x04 /* FINp: the authentic end of the peer's stream */
#define TCPCRYPT_RX_URGENT	0x08 /* urgent_index is the last byte of urgent data */
#define TCPCRYPT_RX_REKEYED	0x10 /* the peer went to a new key generation */

struct tcpcrypt_received {
	size_t consumed;       /* bytes at the front of the input that are done with */
	size_t need;	       /* with TCPCRYPT_AGAIN: input length that the next call needs */
	unsigned int events;   /* TCPCRYPT_RX_* */
	uint8_t *data;	       /* inside the input; valid as long as the input is */
	size_t data_len;
	uint64_t urgent_index; /* position in the application stream, from 0 (decision D12) */
};

/*
 * Consumes one message or frame from the front of the peer's stream. in[0..len) is
 * what has arrived and is not yet consumed; it is decrypted in place, so it must not
 * be presented again after it was consumed. Unconsumed bytes are left unchanged.
 *
 * Returns 0: ret_rx says what came and how much was consumed; call again with the rest.
 * TCPCRYPT_AGAIN: nothing consumed, ret_rx->need > len says how long the input must be.
 * Negative: abort; nothing of this input may be delivered, and *ret_rx is as it was.
 * Afterwards tcpcrypt_session_has_output() may be true in the first two cases.
 */
int tcpcrypt_session_receive(struct tcpcrypt_session *s, uint8_t *in, size_t len,
			     struct tcpcrypt_received *ret_rx);

/*
 * The peer's TCP FIN came after unconsumed bytes that receive() could not use (0 when all
 * was consumed). Returns 0 when FINp came before it and nothing behind that, else
 * TCPCRYPT_E_TRUNCATED or TCPCRYPT_E_AFTER_FIN (8548-3.7-2, 8548-3.7-3).
 */
int tcpcrypt_session_receive_fin(struct tcpcrypt_session *s, size_t unconsumed);

/* Is there an Init message or a rekey frame that must be written now? */
bool tcpcrypt_session_has_output(const struct tcpcrypt_session *s);

/*
 * Writes pending protocol output to out, which has room for TCPCRYPT_OUTPUT_MAX bytes;
 * *ret_len is 0 when nothing is pending. What it gives must reach the socket in order
 * with the frames of tcpcrypt_session_send(). The last byte of an Init message needs
 * PSH: end the write there (8548-3.3-2).
 */
int tcpcrypt_session_output(struct tcpcrypt_session *s, uint8_t *out, size_t *ret_len);

/* May tcpcrypt_session_send() be called: established, and no FINp sent yet? */
bool tcpcrypt_session_can_send(const struct tcpcrypt_session *s);

#define TCPCRYPT_TX_FIN	   0x01 /* this is the last frame: sets FINp */
#define TCPCRYPT_TX_URGENT 0x02 /* urgent field present */

/*
 * Seals one frame in place. The caller has put data_len application bytes (0 to
 * TCPCRYPT_FRAME_DATA_MAX) at frame + TCPCRYPT_FRAME_HEADROOM, or with TCPCRYPT_TX_URGENT
 * at frame + TCPCRYPT_FRAME_HEADROOM_URGENT, with TCPCRYPT_FRAME_TAILROOM bytes of room
 * behind them; urgent is the offset of the last urgent byte from the frame's first data
 * byte and is ignored without that flag. *ret_len is the length of the complete frame at
 * frame[0]. A pending rekey rides on it. TCPCRYPT_E_STATE unless can_send and nothing but
 * a rekey frame is pending as output.
 */
int tcpcrypt_session_send(struct tcpcrypt_session *s, uint8_t *frame, size_t data_len,
			  unsigned int flags, uint16_t urgent, size_t *ret_len);

/* The same of data that lies outside of the frame, and is only read: it need not be copied there. */
int tcpcrypt_session_send_from(struct tcpcrypt_session *s, uint8_t *frame, const uint8_t *data,
			       size_t data_len, unsigned int flags, uint16_t urgent,
			       size_t *ret_len);

/*
 * Initiates rekeying (RFC 8548 section 3.8), also as a verified keep-alive (3.9): the
 * next frame, or output() if no data comes first, carries it; RX_REKEYED tells that the
 * peer answered. TCPCRYPT_AGAIN: one is under way already (8548-3.8-6) or FINp was sent.
 * TCPCRYPT_E_STATE before the session is established.
 */
int tcpcrypt_session_rekey(struct tcpcrypt_session *s);

/* What may be known of a session. Pointers live as long as the session. */
struct tcpcrypt_session_info {
	bool established;
	bool resumed;
	enum tcpcrypt_role role;
	uint8_t tep;			 /* identifier without v */
	uint16_t aead;			 /* 0 until established */
	const uint8_t *session_id;	 /* TCPCRYPT_SESSION_ID_LEN bytes; NULL until established */
	uint64_t local_generation;	 /* of the keys that seal outgoing frames */
	uint64_t remote_generation;	 /* highest seen from the peer */
	uint64_t app_bytes_in, app_bytes_out;
};
void tcpcrypt_session_info(const struct tcpcrypt_session *s, struct tcpcrypt_session_info *ret);

/*
 * The secret for a later session, ss[i+1], with the identifier that names it and what a
 * cache must keep with it (RFC 8548 section 3.5). Established sessions only, else
 * TCPCRYPT_E_STATE. The caller wipes *ret. May be called once; the session then forgets it.
 */
struct tcpcrypt_next_secret {
	uint8_t secret[TCPCRYPT_SECRET_LEN];
	uint8_t identifier[18]; /* resume[i+1]; A sends bytes 0-8, B bytes 9-17 */
	enum tcpcrypt_role original_role;
	uint8_t tep;
	uint16_t aead;
};
int tcpcrypt_session_next_secret(struct tcpcrypt_session *s, struct tcpcrypt_next_secret *ret);

/*
 * Goes on to the secret after this one, ss[i+1] for ss[i], with its identifier; the older one is
 * overwritten. For a cache that holds several secrets of a session ready, because connections
 * may begin at the same time. 0, or the backend's error, and *s is unspecified.
 */
int tcpcrypt_session_next_secret_advance(const struct tcpcrypt_crypto *crypto,
				 struct tcpcrypt_next_secret *s);

#ifdef __cplusplus
}
#endif
#endif
