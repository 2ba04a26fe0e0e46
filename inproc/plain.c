// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/plain.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "inproc/moment.h"

#define PLACES	 64 /* what has the same place takes turns */
#define FRESH_MS 1000

struct destination {
	uint8_t addr[16];
	uint32_t scope;
	uint16_t port, family;
	int64_t until_ms;
};

static struct destination places[PLACES];
static atomic_flag busy = ATOMIC_FLAG_INIT;
static atomic_bool distrusted;

static struct destination destination_of(const struct sockaddr *to)
{
	struct destination d = { .family = to->sa_family };
	struct sockaddr_in6 v6;
	struct sockaddr_in v4;

	if (to->sa_family == AF_INET) {
		memcpy(&v4, to, sizeof(v4));
		memcpy(d.addr, &v4.sin_addr, sizeof(v4.sin_addr));
		d.port = v4.sin_port;
	} else {
		memcpy(&v6, to, sizeof(v6));
		memcpy(d.addr, &v6.sin6_addr, sizeof(v6.sin6_addr));
		d.port = v6.sin6_port;
		d.scope = v6.sin6_scope_id;
	}
	return d;
}

static struct destination *place_of(const struct destination *d)
{
	uint32_t h = d->port;

	for (size_t i = 0; i < sizeof(d->addr); i++)
		h = h * 31 + d->addr[i];
	return &places[(h ^ h >> 16) % PLACES];
}

static bool is_same(const struct destination *a, const struct destination *b)
{
	return !memcmp(a->addr, b->addr, sizeof(a->addr)) && a->scope == b->scope &&
	       a->port == b->port && a->family == b->family;
}

/* Nobody waits here, not even a handler of signals: who comes in between knows nothing. */
static bool enter(void)
{
	return !atomic_load(&distrusted) && !atomic_flag_test_and_set(&busy);
}

bool plain_is_known(const struct sockaddr *to)
{
	const struct destination d = destination_of(to);
	const struct destination *place = place_of(&d);
	bool known;

	if (!enter())
		return false;
	known = is_same(place, &d) && now_coarse_ms() < place->until_ms;
	atomic_flag_clear(&busy);
	return known;
}

void plain_learn(const struct sockaddr *to)
{
	struct destination d = destination_of(to);

	d.until_ms = now_coarse_ms() + FRESH_MS;
	if (!enter())
		return;
	*place_of(&d) = d;
	atomic_flag_clear(&busy);
}

void plain_distrust(void)
{
	atomic_store(&distrusted, true);
}

void plain_forked(void)
{
	memset(places, 0, sizeof(places));
	atomic_flag_clear(&busy);
}
