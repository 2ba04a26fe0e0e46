/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP-ENO (RFC 8547): the SYN-form option and what two of them negotiate. Pure
 * functions over bytes; who calls them puts options into segments and reads them out.
 */
#ifndef TCPCRYPT_ENO_H
#define TCPCRYPT_ENO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TCPCRYPT_ENO_KIND	 69
#define TCPCRYPT_ENO_OPTION_MAX	 40 /* kind and length included */
#define TCPCRYPT_ENO_GLOBAL_B	 0x01 /* passive role */
#define TCPCRYPT_ENO_GLOBAL_A	 0x02 /* application-aware */
#define TCPCRYPT_ENO_TEPS_MAX	 8

/* Where this host stands in the handshake. */
enum tcpcrypt_eno_opener {
	TCPCRYPT_ENO_ACTIVE,  /* sent a SYN, received a SYN-ACK */
	TCPCRYPT_ENO_PASSIVE, /* received a SYN, sends a SYN-ACK */
	TCPCRYPT_ENO_SIMULTANEOUS,
};

/* Why a connection is encrypted, or is not. Names: tcpcrypt_eno_reason_name(). */
enum tcpcrypt_eno_reason {
	TCPCRYPT_ENO_OK,
	TCPCRYPT_ENO_NO_OPTION,	     /* peer's SYN has none, or more than one */
	TCPCRYPT_ENO_ILL_FORMED,     /* section 4.4 */
	TCPCRYPT_ENO_VACUOUS,	     /* an option without a TEP, section 4.6 */
	TCPCRYPT_ENO_ROLE_CONFLICT,  /* both sent the same b, section 4.3 */
	TCPCRYPT_ENO_NOT_APP_AWARE,  /* mandatory application-aware mode, section 4.2 */
	TCPCRYPT_ENO_NO_COMMON_TEP,  /* no valid TEP, section 4.5 */
	/* Of sockets, where more than the options decides; tcpcrypt_eno_negotiate() has none. */
	TCPCRYPT_ENO_NO_ACK,	     /* the ACK that ends TCP's handshake came without, section 4.6 */
	TCPCRYPT_ENO_SYN_RETRIES,    /* the SYN was answered only when it had no option */
	TCPCRYPT_ENO_SYN_COOKIE,     /* this host was flooded */
	TCPCRYPT_ENO_LEFT_ALONE,     /* by policy, or because it cannot be encrypted */
	TCPCRYPT_ENO_NO_ENGINE,	     /* nothing on this host negotiates */
};

/* "ok", "no-eno", "ill-formed", "vacuous", "role-conflict", "not-app-aware", "no-common-tep",
 * "ack-without-eno", "syn-retries", "syn-cookie", "left-alone", "no-engine". Static. */
const char *tcpcrypt_eno_reason_name(enum tcpcrypt_eno_reason reason);

/* A resumption suboption that this host sent, or would accept (RFC 8548 section 3.5). */
struct tcpcrypt_eno_resume {
	uint8_t tep;			  /* without v */
	enum tcpcrypt_role original_role; /* this host's, in the session with ss[0] */
	uint8_t identifier[18];		  /* resume[i] */
	uint8_t nonce[8];		  /* this host's */
	size_t nonce_len;		  /* 0..8 */
};

struct tcpcrypt_eno_settings {
	enum tcpcrypt_eno_opener opener;
	const uint8_t *teps; /* supported; host B: in decreasing preference */
	size_t n_teps;	     /* at most TCPCRYPT_ENO_TEPS_MAX */
	uint8_t global;	     /* own global bits: GLOBAL_A, and for an active opener GLOBAL_B */
	bool mandatory_app_aware;
	const struct tcpcrypt_eno_resume *resume; /* what this host offered; NULL: nothing */
};

struct tcpcrypt_eno_result {
	enum tcpcrypt_eno_reason reason;
	enum tcpcrypt_role role;	/* the rest only with TCPCRYPT_ENO_OK */
	uint8_t tep_byte;		/* as host B sent it */
	bool resumed;			/* both sent matching resumption suboptions */
	bool resumption_offered;	/* host A did, for the TEP that was negotiated */
	uint8_t nonces[16];		/* sn = nonce_a | nonce_b when resumed */
	size_t nonces_len;
	uint8_t transcript[TCPCRYPT_TRANSCRIPT_MAX];
	size_t transcript_len;
	/* With any reason, as far as the peer's option could be read. */
	uint8_t peer_global;
};

/*
 * Writes the active opener's SYN-form option (kind and length included): an explicit global
 * suboption only when it is not zero, TEPs in reverse preference so that the last is the
 * most wanted, the resumption suboption last of all. out has TCPCRYPT_ENO_OPTION_MAX bytes.
 * TCPCRYPT_E_ARGUMENT when the settings do not fit, or are a passive opener's.
 */
int tcpcrypt_eno_offer(const struct tcpcrypt_eno_settings *settings,
		       uint8_t out[TCPCRYPT_ENO_OPTION_MAX], size_t *ret_len);

/*
 * The passive opener's answer to the option in a SYN (peer, peer_len; NULL and 0: none):
 * writes the option for the SYN-ACK to out, or *ret_len 0 when the SYN-ACK goes without
 * (decision D4). cache holds the n sessions it would resume, each with the nonce to send;
 * *ret_hit is the one used, or NULL. 0 whatever the peer has sent, and *ret_reason says why;
 * TCPCRYPT_E_ARGUMENT for settings that are no passive opener's or do not fit.
 */
int tcpcrypt_eno_answer(const struct tcpcrypt_eno_settings *settings, const uint8_t *peer,
			size_t peer_len, const struct tcpcrypt_eno_resume *cache, size_t n,
			uint8_t out[TCPCRYPT_ENO_OPTION_MAX], size_t *ret_len,
			enum tcpcrypt_eno_reason *ret_reason,
			const struct tcpcrypt_eno_resume **ret_hit);

/*
 * What the two SYN-form options negotiate, seen from this host. own and peer are whole
 * options, kind and length included; peer NULL and 0: the peer sent none. Never fails:
 * every refusal is a reason in *ret.
 */
void tcpcrypt_eno_negotiate(const struct tcpcrypt_eno_settings *settings, const uint8_t *own,
			    size_t own_len, const uint8_t *peer, size_t peer_len,
			    struct tcpcrypt_eno_result *ret);

#ifdef __cplusplus
}
#endif
#endif
