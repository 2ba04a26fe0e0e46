/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A worker's ledger: what the user may know of each connection, live and lately ended, and the
 * totals. Flows write their record here. One thread.
 */
#ifndef DAEMON_LEDGER_H
#define DAEMON_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <tcpcrypt/session.h>

#include "bpf/shared.h"

#define LEDGER_RECENT 1000 /* ended connections that are remembered */

enum record_state { RECORD_NEGOTIATING, RECORD_ENCRYPTED, RECORD_PLAIN, RECORD_CLOSED };

struct record {
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
	const char *not_resumed; /* why an encrypted one is not; static text or NULL */
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

#define LEDGER_REASONS_MAX 64

/* Counts by reason; reasons are few and static. */
struct ledger_tally {
	const char *reason[LEDGER_REASONS_MAX];
	uint64_t count[LEDGER_REASONS_MAX];
	size_t n;
};

struct ledger_totals {
	size_t live;
	uint64_t encrypted;
	uint64_t resumed; /* of these; and why the others were not: */
	struct ledger_tally fresh;
	struct ledger_tally plain, failed;
};

struct ledger;

/* The ledger of the worker that has this slot, which its connections' ids tell. *begun: how many
 * the slot has had, the caller's memory, which is counted on. NULL when there is no memory. */
struct ledger *ledger_new(unsigned int slot, uint64_t *begun);
void ledger_free(struct ledger *l);

/* Called for every event, with the record as it is then. */
void ledger_set_watcher(struct ledger *l,
			void (*watch)(void *data, enum ledger_event event, const struct record *r),
			void *data);

/* A connection begins; the record is the caller's. */
void ledger_begin(struct ledger *l, struct record *r);
void ledger_established(struct ledger *l, struct record *r);
/* It has been encrypted since before this daemon began, or goes on with another one. */
void ledger_adopted(struct ledger *l, struct record *r);
void ledger_forget(struct ledger *l, const struct record *r);
void ledger_plain(struct ledger *l, struct record *r, const char *reason);
void ledger_rekeyed(struct ledger *l, struct record *r);
/* It ends; failed_reason NULL: cleanly. A copy goes to the recent ones. */
void ledger_end(struct ledger *l, struct record *r, const char *failed_reason);

/* The ended ones, oldest first: 0 <= i < ledger_recent_count(). */
size_t ledger_recent_count(const struct ledger *l);
const struct record *ledger_recent(const struct ledger *l, size_t i);

/* Adds a ledger's totals to those of others. */
void ledger_totals_add(struct ledger_totals *sum, const struct ledger *l);

#endif
