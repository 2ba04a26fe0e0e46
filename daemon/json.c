// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/json.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "crypto/fastest.h"
#include "daemon/address.h"
#include "daemon/config.h"

static const char *state_name(enum record_state state)
{
	switch (state) {
	case RECORD_NEGOTIATING:
		return "negotiating";
	case RECORD_ENCRYPTED:
		return "encrypted";
	case RECORD_PLAIN:
		return "plain";
	case RECORD_CLOSED:
		return "closed";
	}
	return "closed";
}

static json_t *string_or_null(const char *s)
{
	return s ? json_string(s) : json_null();
}

static json_t *address(const struct shared_endpoint *e)
{
	char text[ADDRESS_TEXT_MAX];

	/* A connection that went out natively has a local end that nobody told us. */
	if (!e->port)
		return json_null();
	address_format(e, text);
	return json_string(text);
}

static json_t *session_id(const struct record *r)
{
	char hex[2 * TCPCRYPT_SESSION_ID_LEN + 1];

	if (!r->has_session_id)
		return json_null();
	for (size_t i = 0; i < TCPCRYPT_SESSION_ID_LEN; i++)
		snprintf(hex + 2 * i, 3, "%02x", r->session_id[i]);
	return json_string(hex);
}

/* A program's name may hold anything; JSON is UTF-8. */
static json_t *comm(const struct record *r)
{
	char text[SHARED_COMM_LEN + 1];

	if (!r->pid)
		return json_null();
	memcpy(text, r->comm, SHARED_COMM_LEN);
	text[SHARED_COMM_LEN] = '\0';
	for (char *c = text; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(text);
}

json_t *json_of_record(const struct record *r)
{
	const char *role = r->role == TCPCRYPT_ROLE_A ? "A" : "B";

	return json_pack("{s:I, s:s, s:o, s:o, s:s, s:b, s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:I, "
			 "s:I, s:I, s:f, s:o, s:o, s:o, s:o}",
			 "id", (json_int_t)r->id, "direction", r->outgoing ? "out" : "in", "local",
			 address(&r->local), "peer", address(&r->peer), "state",
			 state_name(r->state), "encrypted", r->encrypted, "reason",
			 string_or_null(r->reason), "role", string_or_null(r->tep ? role : NULL),
			 "tep", string_or_null(config_tep_name(r->tep)), "aead",
			 string_or_null(config_aead_name(r->aead)), "resumed", r->resumed,
			 "not_resumed",
			 string_or_null(r->encrypted && !r->resumed ? r->not_resumed : NULL),
			 "session_id", session_id(r), "bytes_in", (json_int_t)r->bytes_in,
			 "bytes_out", (json_int_t)r->bytes_out, "rekeys", (json_int_t)r->rekeys,
			 "started", r->started, "ended",
			 r->ended > 0 ? json_real(r->ended) : json_null(), "pid",
			 r->pid ? json_integer(r->pid) : json_null(), "comm", comm(r), "uid",
			 r->uid == SHARED_UID_UNKNOWN ? json_null() : json_integer(r->uid));
}

json_t *json_of_event(const char *event, double time, const struct record *r)
{
	json_t *o = json_pack("{s:s, s:f}", "event", event, "time", time);
	json_t *rest = r ? json_of_record(r) : NULL;

	if (o && rest)
		json_object_update(o, rest);
	json_decref(rest);
	return o;
}

static json_t *tally(const struct ledger_tally *t)
{
	json_t *o = json_object();

	for (size_t i = 0; i < t->n; i++)
		json_object_set_new(o, t->reason[i], json_integer(t->count[i]));
	return o;
}

static json_t *workers(const struct survey_totals *totals, unsigned int n)
{
	json_t *a = json_array();

	for (unsigned int i = 0; i < n; i++)
		json_array_append_new(a, json_pack("{s:I}", "connections",
						   (json_int_t)totals->live[i]));
	return a;
}

static json_t *interfaces(const struct control_status *status)
{
	json_t *a = json_array();
	const char *name;

	for (size_t i = 0; (name = status->interface(status->data, i)); i++)
		json_array_append_new(a, json_string(name));
	return a;
}

static json_t *backend(const struct crypto_backend *b)
{
	return json_pack("{s:s, s:s}", "library", b->library, "reason", b->reason);
}

json_t *json_of_status(const struct survey_totals *totals, unsigned int n_workers,
		       const struct control_status *status)
{
	const struct ledger_totals *all = &totals->all;

	return json_pack(
		"{s:s, s:s, s:i, s:f, s:{s:I, s:s, s:o}, s:I, s:o, s:I, s:I, s:o, s:o, s:o, "
		"s:o, s:{s:I, s:I}, s:{s:o, s:o, s:o}}",
		"state", status->state, "version", TCPCRYPT_VERSION, "pid", (int)getpid(),
		"started", status->started, "engine", "netns_cookie",
		(json_int_t)engine_netns_cookie(status->engine), "cgroup",
		engine_cgroup(status->engine), "interfaces", interfaces(status), "connections",
		(json_int_t)all->live, "workers", workers(totals, n_workers), "encrypted",
		(json_int_t)all->encrypted, "resumed", (json_int_t)all->resumed, "fresh",
		tally(&all->fresh), "plain", tally(&all->plain), "failed", tally(&all->failed),
		"key_log", string_or_null(*status->key_log ? status->key_log : NULL), "policy",
		"rules", (json_int_t)status->n_rules, "require", (json_int_t)status->n_required,
		"crypto", "aes_gcm", backend(&status->crypto->aes_gcm), "x25519",
		backend(&status->crypto->x25519), "hmac", backend(&status->crypto->hmac));
}
