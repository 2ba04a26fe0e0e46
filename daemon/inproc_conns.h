/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The connections of programs in in-process mode, as these tell of them (inproc/message.h), in the
 * ledger of one worker, on whose thread all of this is. A user's programs can say what they like
 * about connections of that user, and nothing about others'.
 */
#ifndef DAEMON_INPROC_CONNS_H
#define DAEMON_INPROC_CONNS_H

#include <sys/queue.h>

#include "daemon/inproc_past.h"
#include "daemon/ledger.h"
#include "daemon/visitor.h"
#include "inproc/message.h"

#define INPROC_CONNS_MAX      65536 /* live ones that are listed, */
#define INPROC_CONNS_USER_MAX 16384 /* and of one user; root has no such limit */

#define INPROC_BUCKETS 4096

/* One process has one connection. */
struct inproc_hold {
	LIST_ENTRY(inproc_hold) of_conn, of_process;
	struct inproc_conn *conn;
	const void *of; /* struct inproc_holds */
};

LIST_HEAD(inproc_holds, inproc_hold);

/* Whoever lets a connection go may do so for another process that has yet to say that it has it. */
#define INPROC_LEFT_SECONDS 2

struct inproc_conn {
	LIST_ENTRY(inproc_conn) bucket_entry;
	TAILQ_ENTRY(inproc_conn) entry;
	uint64_t id; /* the program's, within the user's */
	struct record record;
	bool begun; /* ESTABLISHED was told; a child that has it, too, may be heard before */
	struct inproc_holds holds; /* by processes that live */
	double left;		   /* since when there are none; 0: there are */
};

LIST_HEAD(inproc_bucket, inproc_conn);
TAILQ_HEAD(inproc_conn_list, inproc_conn);

struct inproc_cache;

struct inproc_conns {
	struct ledger *ledger;
	struct inproc_cache *cache;
	struct inproc_conn_list all;
	size_t n;
	struct inproc_bucket buckets[INPROC_BUCKETS];
	struct past past;
};

void inproc_conns_init(struct inproc_conns *c, struct ledger *ledger, struct inproc_cache *cache);

/* The process with these holds, and this user and number, has said so. */
void inproc_conns_told(struct inproc_conns *c, struct inproc_holds *of, uid_t uid, pid_t pid,
		       const struct message *m, double now);

/* The live one between these ends that the visitor may see, whoever else says that he has it; or
 * NULL. */
struct inproc_conn *inproc_conns_find(struct inproc_conns *c, const struct visitor *visitor,
				      const struct shared_endpoint *local,
				      const struct shared_endpoint *peer);

/* About once a second: ends what was left, and found nobody else. */
void inproc_conns_tick(struct inproc_conns *c, double now);

/* The process is gone, and with it what nobody else has, or may yet say that it has. */
void inproc_conns_gone(struct inproc_conns *c, struct inproc_holds *of, double now);

/* Another daemon will be told of them. */
void inproc_conns_forget(struct inproc_conns *c);

#endif
