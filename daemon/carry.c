// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/carry.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/log.h"
#include "daemon/outgoing.h"

#define ALLOWED_CONGESTION "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
#define HOPS_MAX	   255

/* So long a program's TCP may wait before it sends its SYN again. */
#define EARLY_TICKS 130

/* Of <linux/in6.h>, which does not go with <netinet/in.h>. */
#ifndef IPV6_MINHOPCOUNT
#define IPV6_MINHOPCOUNT 73
#endif

/* 8548-3.9-4, 8548-8.2-1: TCP's keep-alives are sent where a program wants them, encrypted or not. */
static const struct {
	int level, name;
} options[APP_OPTIONS] = {
	[APP_KEEPALIVE] = { SOL_SOCKET, SO_KEEPALIVE },
	[APP_KEEPIDLE] = { IPPROTO_TCP, TCP_KEEPIDLE },
	[APP_KEEPINTVL] = { IPPROTO_TCP, TCP_KEEPINTVL },
	[APP_KEEPCNT] = { IPPROTO_TCP, TCP_KEEPCNT },
	[APP_USER_TIMEOUT] = { IPPROTO_TCP, TCP_USER_TIMEOUT },
	[APP_SYNCNT] = { IPPROTO_TCP, TCP_SYNCNT },
	[APP_MAXSEG] = { IPPROTO_TCP, TCP_MAXSEG },
	[APP_NOTSENT_LOWAT] = { IPPROTO_TCP, TCP_NOTSENT_LOWAT },
	[APP_PACING_RATE] = { SOL_SOCKET, SO_MAX_PACING_RATE },
	[APP_MARK] = { SOL_SOCKET, SO_MARK },
	[APP_TOS] = { IPPROTO_IP, IP_TOS },
	[APP_TTL] = { IPPROTO_IP, IP_TTL },
	[APP_MINTTL] = { IPPROTO_IP, IP_MINTTL },
	[APP_TCLASS] = { IPPROTO_IPV6, IPV6_TCLASS },
	[APP_HOPS] = { IPPROTO_IPV6, IPV6_UNICAST_HOPS },
	[APP_MINHOPS] = { IPPROTO_IPV6, IPV6_MINHOPCOUNT },
	[APP_PRIORITY] = { SOL_SOCKET, SO_PRIORITY },
};

/* Has the administrator left this congestion control to everybody? */
static bool congestion_is_allowed(const char *name)
{
	char line[512] = "", *rest = line, *word;
	FILE *f = fopen(ALLOWED_CONGESTION, "re");

	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		line[0] = '\0';
	fclose(f);
	while ((word = strsep(&rest, " \n")))
		if (*word && !strcmp(word, name))
			return true;
	return false;
}

static void congestion_carry(int fd, const struct app_options *o)
{
	char name[SHARED_CONGESTION_LEN];

	memcpy(name, o->congestion, sizeof(name));
	name[sizeof(name) - 1] = '\0';
	if (!name[0])
		return;
	if (o->free_choice || congestion_is_allowed(name))
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, strlen(name));
}

void carry_options(int fd, const struct app_options *o)
{
	for (size_t i = 0; i < APP_OPTIONS; i++)
		if (o->set >> i & 1)
			setsockopt(fd, options[i].level, options[i].name, &o->value[i],
				   sizeof(o->value[i]));
	congestion_carry(fd, o);
}

/* Should the flow have to open its connection again. */
static void options_keep(struct app_options *of, const struct app_options *late)
{
	/* A class of service brings its priority along. */
	if (late->set >> APP_TOS & 1)
		of->set &= ~(1U << APP_PRIORITY);
	for (size_t i = 0; i < APP_OPTIONS; i++)
		if (late->set >> i & 1)
			of->value[i] = late->value[i];
	of->set |= late->set;
	if (!late->congestion[0])
		return;
	memcpy(of->congestion, late->congestion, sizeof(of->congestion));
	of->free_choice = late->free_choice;
}

/* The flow of a socket whose options have changed; end: its local one, while it has no flow's id. */
static struct flow *flow_of(struct worker *w, uint64_t id, const struct shared_endpoint *end,
			    uint64_t cookie)
{
	struct flow *f = id ? flow_find_id(w, id) : outgoing_find(w, end, cookie);

	if (!f && !id)
		w->early_ticks = EARLY_TICKS;
	return f;
}

static void options_look(struct flow *f, const struct app_options *o)
{
	options_keep(&f->syn.app.options, o);
	if (f->net.source.fd >= 0)
		carry_options(f->net.source.fd, o);
}

void carry_event(struct worker *w, const struct shared_event *event)
{
	struct flow *f = flow_of(w, event->app.flow, &event->app.local, event->cookie);
	struct app_options o;

	if (!engine_options_take(w->engine, event->cookie, &o) && f)
		options_look(f, &o);
}

/* What there was no room to tell of. The others are other workers', or of flows that have ended: these
 * give way when the map is full. */
static void untold(struct worker *w)
{
	struct shared_flow_end end;
	uint64_t cookie = 0, one;
	struct app_options o;
	struct flow *f;
	bool more = engine_untold_next(w->engine, &cookie, &end);

	while (more) {
		one = cookie;
		f = flow_of(w, end.flow, &end.end, one);
		more = engine_untold_next(w->engine, &cookie, &end);
		if (!f)
			continue;
		engine_untold_told(w->engine, one);
		if (!engine_options_take(w->engine, one, &o))
			options_look(f, &o);
	}
}

void carry_early(struct flow *f)
{
	struct app_options o;

	if (f->worker->early_ticks && !engine_options_take(f->worker->engine, f->syn.cookie, &o))
		options_keep(&f->syn.app.options, &o);
}

void carry_tick(struct worker *w)
{
	w->early_ticks -= w->early_ticks > 0;
	if (w->unheard_ticks)
		untold(w);
}

void carry_hops(int fd, int family)
{
	int hops = HOPS_MAX;

	if (family == AF_INET)
		setsockopt(fd, IPPROTO_IP, IP_TTL, &hops, sizeof(hops));
	else
		setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &hops, sizeof(hops));
}
