/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/rebind.h"

#include "core/session_state.h"

static void *moved_by(void *at, uintptr_t moved)
{
	return at ? (void *)((uintptr_t)at + moved) : NULL;
}

static void direction_rebind(struct rekey_direction *d, uint16_t aead, uintptr_t moved)
{
	d->aead = moved_by(d->aead, moved);
	/* Of those that were never initialised nothing is asked. */
	if (d->limits)
		d->limits = aead_find(aead);
}

void session_rebind(struct tcpcrypt_session *s, const struct tcpcrypt_crypto *crypto,
		    uintptr_t moved)
{
	if (!s->crypto)
		return;
	s->crypto = crypto;
	s->keylog = NULL;
	s->keylog_data = NULL;
	if (s->exchange.crypto)
		s->exchange.crypto = crypto;
	s->exchange.keypair = moved_by(s->exchange.keypair, moved);
	direction_rebind(&s->tx, s->aead, moved);
	direction_rebind(&s->rx, s->aead, moved);
}
