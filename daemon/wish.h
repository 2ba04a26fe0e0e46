/* SPDX-License-Identifier: BSD-2-Clause */
/* What programs ask for by socket options (tcp_eno(7)), made into what the daemon does. */
#ifndef DAEMON_WISH_H
#define DAEMON_WISH_H

#include <stddef.h>
#include <stdint.h>

#include <tcpcrypt/eno.h>

#include "daemon/config.h"
#include "daemon/worker.h"

/* What a connection with these wishes (all zero: none) negotiates with; teps is the memory
 * for its list. */
struct tcpcrypt_eno_settings wish_settings(const struct config *c,
					   const struct shared_wishes *wishes,
					   enum tcpcrypt_eno_opener opener,
					   uint8_t teps[static SHARED_TEPS_MAX]);

/* What such a connection offers. 0 or a negative errno value. */
int wish_offer(const struct worker *w, const struct shared_wishes *wishes,
	       struct engine_offer *ret);

/* The AEADs for a session in this role, in decreasing preference; returns how many. */
size_t wish_aeads(const struct config *c, const struct shared_wishes *wishes,
		  enum tcpcrypt_role role, uint16_t ret[static TCPCRYPT_AEADS_MAX]);

/* How long the nonce is when a session is resumed. */
size_t wish_nonce_len(const struct shared_wishes *wishes);

/* A wish that came when the connection was there already. */
void wish_event(struct worker *w, const struct shared_event *event);

#endif
