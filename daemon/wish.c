// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/wish.h"

#include <errno.h>
#include <string.h>

#include "daemon/flow.h"
#include "daemon/outgoing.h"
#include "daemon/resume.h"

struct tcpcrypt_eno_settings wish_settings(const struct config *c,
					   const struct shared_wishes *wishes,
					   enum tcpcrypt_eno_opener opener,
					   uint8_t teps[static SHARED_TEPS_MAX])
{
	struct tcpcrypt_eno_settings settings = {
		.opener = opener,
		.teps = teps,
		.n_teps = wishes->teps.set ? wishes->teps.len : c->n_teps,
		/* 8547-4.2-4, 8547-4.2-5; 8547-4.2-7: what the RFC reserves stays zero. */
		.global = wishes->self_gopt & (TCPCRYPT_ENO_GLOBAL_A | TCPCRYPT_ENO_GLOBAL_B),
		.mandatory_app_aware = wishes->aa_mandatory,
	};

	if (settings.n_teps > SHARED_TEPS_MAX)
		settings.n_teps = SHARED_TEPS_MAX;
	for (size_t i = 0; i < settings.n_teps; i++)
		teps[i] = wishes->teps.set ? wishes->teps.bytes[i] & 0x7f : c->teps[i];
	return settings;
}

int wish_offer(const struct worker *w, const struct shared_wishes *wishes, struct engine_offer *ret)
{
	struct tcpcrypt_eno_settings settings;

	memset(ret, 0, sizeof(*ret));
	settings = wish_settings(w->config, wishes, TCPCRYPT_ENO_ACTIVE, ret->teps);
	ret->mandatory_app_aware = settings.mandatory_app_aware;
	return tcpcrypt_eno_offer(&settings, ret->option, &ret->len) ? -EINVAL : 0;
}

size_t wish_aeads(const struct config *c, const struct shared_wishes *wishes,
		  enum tcpcrypt_role role, uint16_t ret[static TCPCRYPT_AEADS_MAX])
{
	const struct shared_bytes *list = role == TCPCRYPT_ROLE_A ? &wishes->aconf : &wishes->bconf;
	size_t n = list->len / 2;

	if (!list->set || n > TCPCRYPT_AEADS_MAX) {
		memcpy(ret, c->aeads, c->n_aeads * sizeof(*ret));
		return c->n_aeads;
	}
	/* 8548-3.3-6: host B's list ends with what it likes best. */
	for (size_t i = 0; i < n; i++) {
		size_t from = role == TCPCRYPT_ROLE_A ? i : n - 1 - i;

		ret[i] = list->bytes[2 * from] << 8 | list->bytes[2 * from + 1];
	}
	return n;
}

size_t wish_nonce_len(const struct shared_wishes *wishes)
{
	/* All zero is no wish: a program that has switched ENO off is not here. */
	return wishes->enabled ? wishes->nonce_len : SHARED_NONCE_LEN_DEFAULT;
}

/* Without an id, connect() was still under way when the program said it. */
static struct flow *flow_of(struct worker *w, const struct shared_event *event)
{
	return event->app.flow ? flow_find_id(w, event->app.flow)
			       : outgoing_find_cookie(w, event->cookie);
}

void wish_event(struct worker *w, const struct shared_event *event)
{
	struct flow *f = flow_of(w, event);

	/* 8548-3.5-28 */
	if (event->type == SHARED_EVENT_CACHE_FLUSH) {
		if (f)
			resume_forget(f);
		engine_lane_flushed(w->lane);
		return;
	}
	if (!f)
		return;
	if (event->type == SHARED_EVENT_REKEY) {
		flow_rekey(f);
		return;
	}
	f->wishes.tep_mandatory = event->value;
	if (event->value && f->record.state == RECORD_PLAIN)
		flow_abort(f, "tep-mandatory", ECONNREFUSED);
}
