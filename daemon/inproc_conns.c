// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/inproc_conns.h"

#include <stdlib.h>
#include <string.h>

#include <tcpcrypt/eno.h>
#include <tcpcrypt/error.h>

#include "daemon/address.h"
#include "daemon/clock.h"
#include "daemon/inproc_cache.h"

void inproc_conns_init(struct inproc_conns *c, struct ledger *ledger, struct inproc_cache *cache)
{
	memset(c, 0, sizeof(*c));
	c->cache = cache;
	c->ledger = ledger;
	TAILQ_INIT(&c->all);
}

static struct inproc_bucket *bucket_of(struct inproc_conns *c, uid_t uid, uint64_t id)
{
	return &c->buckets[(id ^ uid * 2654435761u) % INPROC_BUCKETS];
}

static struct inproc_conn *find(struct inproc_conns *c, uid_t uid, uint64_t id)
{
	struct inproc_conn *conn;

	LIST_FOREACH(conn, bucket_of(c, uid, id), bucket_entry)
	if (conn->id == id && conn->record.uid == uid)
		break;
	return conn;
}

static bool has_room(const struct inproc_conns *c, uid_t uid)
{
	const struct inproc_conn *conn;
	size_t n = 0;

	if (c->n >= INPROC_CONNS_MAX)
		return false;
	if (!uid || c->n < INPROC_CONNS_USER_MAX)
		return true;
	TAILQ_FOREACH (conn, &c->all, entry)
		n += conn->record.uid == uid;
	return n < INPROC_CONNS_USER_MAX;
}

static const char *reason_name(int32_t reason)
{
	static const char *const names[] = {
		[MESSAGE_RESET] = "reset",
		[MESSAGE_TIMEOUT] = "timeout",
		[MESSAGE_UNREACHABLE] = "unreachable",
		[MESSAGE_LOCAL_RESET] = "local-reset",
		[MESSAGE_HANDSHAKE_TIMEOUT] = "handshake-timeout",
		[MESSAGE_NO_ACK] = "ack-without-eno",
		[MESSAGE_SYN_RETRIES] = "syn-retries",
		[MESSAGE_SYN_COOKIE] = "syn-cookie",
	};

	if (!reason)
		return NULL;
	if (reason < 0)
		return tcpcrypt_error_name(reason);
	if (reason >= MESSAGE_BY_ENO)
		return tcpcrypt_eno_reason_name(reason - MESSAGE_BY_ENO);
	return (size_t)reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}

static void counts_take(struct record *r, const struct message *m)
{
	r->bytes_in = m->bytes_in;
	r->bytes_out = m->bytes_out;
	r->rekeys = m->rekeys;
}

static struct record record_of(const struct message *m, uid_t uid, pid_t pid)
{
	struct record r = { .outgoing = m->outgoing,
			    .local = m->ends.local,
			    .peer = m->ends.remote,
			    .role = m->role ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A,
			    .tep = m->tep,
			    .aead = m->aead,
			    .resumed = m->resumed,
			    .not_resumed = m->fresh == MESSAGE_FRESH_UNKNOWN ? "unknown-session"
									     : "no-session",
			    .pid = pid,
			    .uid = uid };

	counts_take(&r, m);
	memcpy(r.comm, m->comm, sizeof(r.comm));
	r.has_session_id = m->tep;
	memcpy(r.session_id, m->session_id, sizeof(r.session_id));
	return r;
}

/* Not when we heard of it, but when it began; as far as that is possible. */
static void started(struct record *r, const struct message *m)
{
	if (m->started > 0 && m->started < r->started)
		r->started = m->started;
}

static struct inproc_conn *add(struct inproc_conns *c, uid_t uid, pid_t pid,
			       const struct message *m)
{
	struct inproc_conn *conn = has_room(c, uid) ? calloc(1, sizeof(*conn)) : NULL;

	if (!conn)
		return NULL;
	conn->id = m->id;
	conn->record = record_of(m, uid, pid);
	LIST_INIT(&conn->holds);
	LIST_INSERT_HEAD(bucket_of(c, uid, m->id), conn, bucket_entry);
	TAILQ_INSERT_TAIL(&c->all, conn, entry);
	c->n++;
	ledger_begin(c->ledger, &conn->record);
	started(&conn->record, m);
	if (m->type == MESSAGE_ESTABLISHED)
		ledger_established(c->ledger, &conn->record);
	else
		ledger_adopted(c->ledger, &conn->record);
	return conn;
}

static void hold_add(struct inproc_conn *conn, struct inproc_holds *of)
{
	struct inproc_hold *h;

	conn->left = 0;
	LIST_FOREACH(h, &conn->holds, of_conn)
	if (h->of == of)
		return;
	h = calloc(1, sizeof(*h));
	if (!h)
		return;
	h->conn = conn;
	h->of = of;
	LIST_INSERT_HEAD(&conn->holds, h, of_conn);
	LIST_INSERT_HEAD(of, h, of_process);
}

static void hold_end(struct inproc_hold *h)
{
	LIST_REMOVE(h, of_conn);
	LIST_REMOVE(h, of_process);
	free(h);
}

static void conn_free(struct inproc_conns *c, struct inproc_conn *conn)
{
	while (!LIST_EMPTY(&conn->holds))
		hold_end(LIST_FIRST(&conn->holds));
	LIST_REMOVE(conn, bucket_entry);
	TAILQ_REMOVE(&c->all, conn, entry);
	c->n--;
	free(conn);
}

static void end(struct inproc_conns *c, struct inproc_conn *conn, const char *failed_reason)
{
	ledger_end(c->ledger, &conn->record, failed_reason);
	conn_free(c, conn);
}

/* What came to nothing, or what there was no room for. */
static void pass(struct inproc_conns *c, uid_t uid, pid_t pid, const struct message *m)
{
	const char *reason = reason_name(m->reason);
	struct record r = record_of(m, uid, pid);

	ledger_begin(c->ledger, &r);
	started(&r, m);
	if (m->type == MESSAGE_ESTABLISHED)
		ledger_established(c->ledger, &r);
	else if (m->type == MESSAGE_PLAIN && m->refused)
		r.reason = reason;
	else if (m->type == MESSAGE_PLAIN)
		ledger_plain(c->ledger, &r, reason ? reason : "no-eno");
	if (m->type == MESSAGE_PLAIN)
		reason = m->refused ? "policy" : NULL;
	ledger_end(c->ledger, &r, reason);
}

/* What can be resumed later, or cannot. */
static void remember(struct inproc_conns *c, uid_t uid, const struct message *m, double now)
{
	struct tcpcrypt_next_secret next = {
		.original_role = m->role ? TCPCRYPT_ROLE_B : TCPCRYPT_ROLE_A,
		.tep = m->tep,
		.aead = m->aead,
	};

	if (m->type == MESSAGE_ENDED && m->chain)
		inproc_cache_forget(c->cache, uid, m->chain);
	if (m->type != MESSAGE_ESTABLISHED || !m->has_next)
		return;
	memcpy(next.secret, m->next, sizeof(next.secret));
	inproc_cache_store(c->cache, uid, &m->ends, m->outgoing, &next, now);
}

/* It is over already. Who has only had it, too, need not be heard. */
static void begun_late(struct inproc_conns *c, uid_t uid, pid_t pid, const struct message *m,
		       struct past_end *over)
{
	struct message both = *m;

	if (m->type != MESSAGE_ESTABLISHED || over->listed)
		return;
	over->listed = true;
	both.reason = over->reason;
	both.bytes_in = over->bytes_in;
	both.bytes_out = over->bytes_out;
	both.rekeys = over->rekeys;
	pass(c, uid, pid, &both);
	explicit_bzero(&both, sizeof(both));
}

static void left(struct inproc_conn *conn, const struct inproc_holds *of, const struct message *m,
		 double now)
{
	struct inproc_hold *h;

	LIST_FOREACH(h, &conn->holds, of_conn)
	if (h->of == of)
		break;
	if (!h)
		return;
	if (m->tep)
		counts_take(&conn->record, m);
	hold_end(h);
	if (LIST_EMPTY(&conn->holds))
		conn->left = now;
}

void inproc_conns_told(struct inproc_conns *c, struct inproc_holds *of, uid_t uid, pid_t pid,
		       const struct message *m, double now)
{
	struct inproc_conn *conn = find(c, uid, m->id);
	struct past_end *over;

	if (!conn || !conn->begun || m->type != MESSAGE_ESTABLISHED)
		remember(c, uid, m, now);
	switch ((enum message_type)m->type) {
	case MESSAGE_ESTABLISHED:
	case MESSAGE_LIVE:
		if (conn && m->type == MESSAGE_LIVE)
			counts_take(&conn->record, m);
		if (!conn && (over = past_find(&c->past, uid, m->id))) {
			begun_late(c, uid, pid, m, over);
			break;
		}
		if (conn && !conn->begun && m->type == MESSAGE_ESTABLISHED)
			ledger_established(c->ledger, &conn->record);
		if (!conn)
			conn = add(c, uid, pid, m);
		if (conn) {
			conn->begun |= m->type == MESSAGE_ESTABLISHED;
			hold_add(conn, of);
		} else if (m->type == MESSAGE_ESTABLISHED) {
			pass(c, uid, pid, m);
		}
		break;
	case MESSAGE_PLAIN:
		pass(c, uid, pid, m);
		break;
	case MESSAGE_ENDED:
		if (conn || m->tep)
			past_add(&c->past, uid, m, conn);
		if (conn) {
			/* A session that failed has no numbers any more. */
			if (m->tep)
				counts_take(&conn->record, m);
			end(c, conn, reason_name(m->reason));
		} else if (!m->tep && m->reason) {
			pass(c, uid, pid, m);
		}
		break;
	case MESSAGE_COUNTS:
		if (conn)
			counts_take(&conn->record, m);
		break;
	case MESSAGE_PROVEN:
		if (conn) {
			counts_take(&conn->record, m);
			ledger_rekeyed(c->ledger, &conn->record);
		}
		break;
	case MESSAGE_LEFT:
		if (conn)
			left(conn, of, m, now);
		break;
	case MESSAGE_ANSWERED:
		break;
	}
}

struct inproc_conn *inproc_conns_find(struct inproc_conns *c, const struct visitor *visitor,
				      const struct shared_endpoint *local,
				      const struct shared_endpoint *peer)
{
	struct inproc_conn *conn;

	TAILQ_FOREACH (conn, &c->all, entry)
		if (visitor_may_see(visitor, &conn->record) &&
		    address_equal(&conn->record.local, local) &&
		    address_equal(&conn->record.peer, peer))
			break;
	return conn;
}

void inproc_conns_tick(struct inproc_conns *c, double now)
{
	struct inproc_conn *conn, *next;

	for (conn = TAILQ_FIRST(&c->all); conn; conn = next) {
		next = TAILQ_NEXT(conn, entry);
		if (conn->left && now - conn->left >= INPROC_LEFT_SECONDS)
			end(c, conn, "local-reset");
	}
}

void inproc_conns_gone(struct inproc_conns *c, struct inproc_holds *of, double now)
{
	struct inproc_hold *h;

	while ((h = LIST_FIRST(of))) {
		struct inproc_conn *conn = h->conn;

		hold_end(h);
		if (!LIST_EMPTY(&conn->holds))
			continue;
		/* A child's parent has yet to say that it has it. */
		if (conn->begun)
			end(c, conn, "local-reset");
		else
			conn->left = now;
	}
}

void inproc_conns_forget(struct inproc_conns *c)
{
	while (!TAILQ_EMPTY(&c->all)) {
		ledger_forget(c->ledger, &TAILQ_FIRST(&c->all)->record);
		conn_free(c, TAILQ_FIRST(&c->all));
	}
}
