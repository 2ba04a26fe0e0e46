/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ledger: what the user may know of each connection, live and lately ended, and the
 * totals. Flows write their record here; the control socket reads.
 */
#ifndef DAEMON_LEDGER_H
#define DAEMON_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

#include <tcpcrypt/session.h>

#include "bpf/shared.h"

#define LEDGER_RECENT 1000 /* ended connections that are remembered */

enum record_state { RECORD_NEGOTIATING, RECORD_ENCRYPTED, RECORD_PLAIN, RECORD_CLOSED };

struct record {
	TAILQ_ENTRY(record) entry;
	uint64_t id;
	bool outgoing;
	struct shared_endpoint local, peer;
	enum record_state state;
	bool encrypted;	    /* it is, or was */
	const char *reason; /* why plain or failed; static text or NULL */
	bool failed;
	enum tcpcrypt_role role;
	uint8_t tep;   /* 0: none (yet) */
	uint16_t aead; /* 0: none (yet) */
	bool resumed;
	bool has_session_id;
	uint8_t session_id[TCPCRYPT_SESSION_ID_LEN];
	uint64_t bytes_in, bytes_out;
	uint64_t rekeys;
	double started, ended; /* seconds since the epoch; 0: not yet */
	pid_t pid;	       /* 0: unknown */
	uid_t uid;	       /* whose the program or server is; SHARED_UID_UNKNOWN */
	char comm[SHARED_COMM_LEN];
};

enum ledger_event {
	LEDGER_ESTABLISHED,
	LEDGER_PLAIN,
	LEDGER_FAILED,
	LEDGER_CLOSED,
	LEDGER_REKEYED, /* not shown to users: the peer answered a key update */
};

TAILQ_HEAD(record_list, record);

struct ledger;

/* NULL when there is no memory. */
struct ledger *ledger_new(void);
void ledger_free(struct ledger *l);

/* Called for every event, with the record as it is then. */
void ledger_set_watcher(struct ledger *l,
			void (*watch)(void *data, enum ledger_event event, const struct record *r),
			void *data);

/* A connection begins; the record is the caller's and stays until ledger_end(). */
void ledger_begin(struct ledger *l, struct record *r);
void ledger_established(struct ledger *l, struct record *r);
void ledger_plain(struct ledger *l, struct record *r, const char *reason);
void ledger_rekeyed(struct ledger *l, struct record *r);
/* It ends; failed_reason NULL: cleanly. A copy goes to the recent ones. */
void ledger_end(struct ledger *l, struct record *r, const char *failed_reason);

/* Live records, oldest first; and the ended ones, oldest first: 0 <= i < ledger_recent_count(). */
const struct record_list *ledger_live(const struct ledger *l);
size_t ledger_live_count(const struct ledger *l);
size_t ledger_recent_count(const struct ledger *l);
const struct record *ledger_recent(const struct ledger *l, size_t i);

/* Totals. The i-th reason with its count; NULL behind the last. */
uint64_t ledger_total_encrypted(const struct ledger *l);
const char *ledger_total_plain(const struct ledger *l, size_t i, uint64_t *ret_count);
const char *ledger_total_failed(const struct ledger *l, size_t i, uint64_t *ret_count);

#endif
