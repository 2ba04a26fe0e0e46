// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/rule.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct parser {
	char *rest;
	const char *word; /* the next one; NULL at the end */
	struct policy_rule *rule;
	char *error;
	int from_family, to_family; /* 0: none given */
};

__attribute__((format(printf, 2, 3))) static int wrong(struct parser *p, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(p->error, RULE_ERROR_MAX, format, args);
	va_end(args);
	return -EINVAL;
}

static void advance(struct parser *p)
{
	do
		p->word = strsep(&p->rest, " \t,");
	while (p->word && !*p->word);
}

/* The word after the one that announces it. */
static int expect(struct parser *p, const char *what)
{
	advance(p);
	return p->word ? 0 : wrong(p, "%s is missing", what);
}

static int parse_number(const char *text, unsigned long max, unsigned long *ret)
{
	char *end;

	errno = 0;
	*ret = strtoul(text, &end, 10);
	return errno || !isdigit((unsigned char)*text) || *end || *ret > max ? -EINVAL : 0;
}

static int action_parse(struct parser *p)
{
	static const char *const names[] = {
		[POLICY_OFF] = "off", [POLICY_PREFER] = "prefer", [POLICY_REQUIRE] = "require"
	};

	for (int i = POLICY_OFF; p->word && i <= POLICY_REQUIRE; i++) {
		if (strcmp(p->word, names[i]))
			continue;
		p->rule->action = i;
		return 0;
	}
	return wrong(p, "a rule begins with off, prefer or require");
}

static int direction_parse(struct parser *p)
{
	advance(p);
	if (!p->word || (strcmp(p->word, "out") && strcmp(p->word, "in")))
		return wrong(p, "off, prefer or require is followed by out or in");
	p->rule->outgoing = !strcmp(p->word, "out");
	return 0;
}

/* len: of the prefix, counted in the v4-mapped form. */
static int prefix_set(struct parser *p, struct policy_prefix *prefix, const uint8_t addr[16],
		      unsigned int len)
{
	uint8_t *to = (uint8_t *)prefix->addr, *mask = (uint8_t *)prefix->mask;

	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = len > 8 * i ? len - 8 * i : 0;

		mask[i] = bits >= 8 ? 0xff : 0xff00 >> bits;
		to[i] = addr[i] & mask[i];
		if (to[i] != addr[i])
			return wrong(p, "the address has bits beyond its prefix");
	}
	return 0;
}

static int prefix_parse(struct parser *p, struct policy_prefix *prefix, int *ret_family)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[INET6_ADDRSTRLEN + sizeof("/128")];
	uint8_t addr[16] = { [10] = 0xff, [11] = 0xff };
	unsigned long len, max;
	char *slash;

	if (expect(p, "a prefix"))
		return -EINVAL;
	if (*ret_family)
		return wrong(p, "from and to stand at most once");
	snprintf(text, sizeof(text), "%s", p->word);
	slash = strchr(text, '/');
	if (slash)
		*slash++ = '\0';
	*ret_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	max = *ret_family == AF_INET6 ? 128 : 32;
	len = max;
	if (strlen(p->word) >= sizeof(text) ||
	    inet_pton(*ret_family, text, *ret_family == AF_INET6 ? addr : addr + 12) != 1 ||
	    (slash && parse_number(slash, max, &len)))
		return wrong(p, "'%.50s' is not an address or a prefix", p->word);
	/* IPv6 rules say nothing of IPv4, so this one would never match. */
	if (*ret_family == AF_INET6 && len >= 96 && !memcmp(addr, mapped, sizeof(mapped)))
		return wrong(p, "'%.50s' is IPv4, and written like 192.0.2.0/24", p->word);
	prefix->v6_only = *ret_family == AF_INET6;
	if (prefix_set(p, prefix, addr, *ret_family == AF_INET6 ? len : len + 96))
		return -EINVAL;
	advance(p);
	return 0;
}

/* All words that begin with a digit: the list may have blanks in it. */
static int ports_parse(struct parser *p)
{
	struct policy_rule *r = p->rule;

	if (r->n_ports)
		return wrong(p, "port stands at most once");
	advance(p);
	while (p->word && isdigit((unsigned char)*p->word)) {
		char text[16];
		unsigned long first, last;
		char *dash;

		if (r->n_ports == POLICY_PORTS_MAX)
			return wrong(p, "more than %d ports and ranges in one rule",
				     POLICY_PORTS_MAX);
		snprintf(text, sizeof(text), "%s", p->word);
		dash = strchr(text, '-');
		if (dash)
			*dash++ = '\0';
		if (strlen(p->word) >= sizeof(text) || parse_number(text, 65535, &first) ||
		    parse_number(dash ? dash : text, 65535, &last) || !first || first > last)
			return wrong(p, "'%.50s' is not a port or a range", p->word);
		r->ports[r->n_ports].first = first;
		r->ports[r->n_ports++].last = last;
		advance(p);
	}
	return r->n_ports ? 0 : wrong(p, "port wants a list of ports and ranges like 8000-8100");
}

static int user_parse(struct parser *p)
{
	const struct passwd *pw;
	unsigned long number;

	if (expect(p, "a user"))
		return -EINVAL;
	if (p->rule->by_user)
		return wrong(p, "user stands at most once");
	p->rule->by_user = 1;
	if (parse_number(p->word, UINT_MAX - 1, &number)) {
		pw = getpwnam(p->word);
		if (!pw)
			return wrong(p, "there is no user '%.50s'", p->word);
		number = pw->pw_uid;
	}
	p->rule->user = number;
	advance(p);
	return 0;
}

static int cgroup_parse(struct parser *p)
{
	struct policy_rule *r = p->rule;
	const char *part;

	if (expect(p, "the path of a control group"))
		return -EINVAL;
	if (r->n_levels)
		return wrong(p, "cgroup stands at most once");
	part = p->word;
	while (*part == '/' && part[1]) {
		size_t len = strcspn(++part, "/");

		if (!len || len >= POLICY_CGROUP_NAME - 1)
			return wrong(p, "a part of the control group's path is empty or too long");
		if (r->n_levels == POLICY_LEVELS_MAX)
			return wrong(p, "the control group is more than %d levels deep",
				     POLICY_LEVELS_MAX);
		memcpy(r->cgroup[r->n_levels++], part, len);
		part += len;
	}
	if (!r->n_levels || *part)
		return wrong(p, "cgroup wants a path like /system.slice/x.service");
	advance(p);
	return 0;
}

static int condition_parse(struct parser *p)
{
	struct policy_rule *r = p->rule;

	if (!strcmp(p->word, "from"))
		return prefix_parse(p, r->outgoing ? &r->local : &r->remote, &p->from_family);
	if (!strcmp(p->word, "to"))
		return prefix_parse(p, r->outgoing ? &r->remote : &r->local, &p->to_family);
	if (!strcmp(p->word, "port"))
		return ports_parse(p);
	if (!strcmp(p->word, "user"))
		return user_parse(p);
	if (!strcmp(p->word, "cgroup"))
		return cgroup_parse(p);
	return wrong(p, "'%.50s' is none of from, to, port, user, cgroup", p->word);
}

/* Rules that could never match, or not be kept. */
static int check(struct parser *p)
{
	const struct policy_rule *r = p->rule;

	if (!r->outgoing && (r->by_user || r->n_levels))
		return wrong(p, "user and cgroup are for outgoing connections");
	if (p->from_family && p->to_family && p->from_family != p->to_family)
		return wrong(p, "no connection is from IPv4 to IPv6");
	return 0;
}

int rule_parse(char *text, struct policy_rule *ret, char error[static RULE_ERROR_MAX])
{
	struct parser p = { .rest = text, .rule = ret, .error = error };

	memset(ret, 0, sizeof(*ret));
	advance(&p);
	if (action_parse(&p) || direction_parse(&p))
		return -EINVAL;
	advance(&p);
	while (p.word)
		if (condition_parse(&p))
			return -EINVAL;
	return check(&p);
}

enum policy_action rule_for_incoming(const struct policy_rule *rules, size_t n,
				     const struct shared_endpoint *local,
				     const struct shared_endpoint *remote)
{
	const struct policy_query query = { .remote = *remote, .local = *local };

	for (size_t i = 0; i < n; i++)
		if (policy_matches(&rules[i], &query))
			return rules[i].action;
	return POLICY_NONE;
}
