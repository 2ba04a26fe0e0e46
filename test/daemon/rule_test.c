// SPDX-License-Identifier: BSD-2-Clause
/* Policy rules: what their text means, what is wrong with a text, and what they match. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "daemon/rule.h"
#include "test/unit/unit.h"

static struct policy_rule parsed(const char *text)
{
	char copy[256], error[RULE_ERROR_MAX] = "";
	struct policy_rule rule;

	snprintf(copy, sizeof(copy), "%s", text);
	if (rule_parse(copy, &rule, error))
		fail_msg("%s: %s", text, error);
	return rule;
}

static struct shared_endpoint endpoint(const char *text, uint16_t port)
{
	struct shared_endpoint e = { .port = port };

	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, e.addr), 1);
	} else {
		e.addr[10] = e.addr[11] = 0xff;
		assert_int_equal(inet_pton(AF_INET, text, e.addr + 12), 1);
	}
	return e;
}

static bool out_matches(const char *text, const char *addr, uint16_t port, uint32_t user)
{
	const struct policy_rule rule = parsed(text);
	const struct policy_query query = { .outgoing = 1,
					    .user = user,
					    .remote = endpoint(addr, port) };

	return policy_matches(&rule, &query);
}

static bool in_matches(const char *text, const char *remote, const char *local, uint16_t port)
{
	const struct policy_rule rule = parsed(text);
	const struct policy_query query = { .remote = endpoint(remote, 40000),
					    .local = endpoint(local, port) };

	return policy_matches(&rule, &query);
}

static void test_parts(void **state)
{
	struct policy_rule r = parsed("require out to 10.0.0.0/8 port 80, 8000-8100 user 70 "
				      "cgroup /system.slice/x.service");

	assert_int_equal(r.action, POLICY_REQUIRE);
	assert_int_equal(r.outgoing, 1);
	assert_int_equal(r.n_ports, 2);
	assert_int_equal(r.ports[0].first, 80);
	assert_int_equal(r.ports[0].last, 80);
	assert_int_equal(r.ports[1].first, 8000);
	assert_int_equal(r.ports[1].last, 8100);
	assert_true(r.by_user);
	assert_int_equal(r.user, 70);
	assert_int_equal(r.n_levels, 2);
	assert_string_equal(r.cgroup[0], "system.slice");
	assert_string_equal(r.cgroup[1], "x.service");
	assert_int_equal(parsed("off in").action, POLICY_OFF);
	assert_int_equal(parsed("prefer out").action, POLICY_PREFER);
	assert_int_equal(parsed("off out user root").user, 0);
}

static void test_prefixes(void **state)
{
	assert_true(out_matches("off out", "10.1.2.3", 80, 0));
	assert_true(out_matches("off out", "2001:db8::1", 80, 0));
	assert_true(out_matches("off out to 10.0.0.0/8", "10.255.2.3", 80, 0));
	assert_false(out_matches("off out to 10.0.0.0/8", "11.0.0.0", 80, 0));
	assert_true(out_matches("off out to 10.1.2.128/25", "10.1.2.129", 80, 0));
	assert_false(out_matches("off out to 10.1.2.128/25", "10.1.2.127", 80, 0));
	assert_true(out_matches("off out to 10.1.2.3", "10.1.2.3", 80, 0));
	assert_false(out_matches("off out to 10.1.2.3", "10.1.2.2", 80, 0));
	assert_true(out_matches("off out to 0.0.0.0/0", "192.0.2.1", 80, 0));
	assert_false(out_matches("off out to 0.0.0.0/0", "2001:db8::1", 80, 0));
	assert_true(out_matches("off out to ::/0", "2001:db8::1", 80, 0));
	assert_false(out_matches("off out to ::/0", "192.0.2.1", 80, 0));
	assert_true(out_matches("off out to 2001:db8::/33", "2001:db8:7fff::1", 80, 0));
	assert_false(out_matches("off out to 2001:db8::/33", "2001:db8:8000::1", 80, 0));
}

static void test_ends(void **state)
{
	static const char *const rule = "off in from 192.0.2.0/24 to 10.0.0.1 port 25";

	assert_true(in_matches(rule, "192.0.2.9", "10.0.0.1", 25));
	assert_false(in_matches(rule, "192.0.3.9", "10.0.0.1", 25));
	assert_false(in_matches(rule, "192.0.2.9", "10.0.0.2", 25));
	assert_false(in_matches(rule, "192.0.2.9", "10.0.0.1", 40000));
	assert_false(in_matches("off out", "192.0.2.9", "10.0.0.1", 25));
	assert_false(out_matches("off in", "192.0.2.9", 25, 0));
}

static bool bound_matches(const char *text, const char *local)
{
	const struct policy_rule rule = parsed(text);
	const struct policy_query query = { .outgoing = 1,
					    .remote = endpoint("192.0.2.1", 80),
					    .local = endpoint(local, 0) };

	return policy_matches(&rule, &query);
}

static void test_source(void **state)
{
	assert_true(bound_matches("off out from 10.0.0.0/8", "10.1.2.3"));
	assert_false(bound_matches("off out from 10.0.0.0/8", "11.1.2.3"));
	assert_false(bound_matches("require out from 10.0.0.0/8", "11.1.2.3"));
	assert_true(bound_matches("require out from 2001:db8::/32", "2001:db8::1"));
	assert_false(bound_matches("off out from 0.0.0.0/0", "2001:db8::1"));
	assert_false(bound_matches("off out from ::/0", "10.1.2.3"));
	/* Not bound: only what must not be missed holds. */
	assert_false(out_matches("off out from 10.0.0.0/8", "192.0.2.1", 80, 0));
	assert_false(out_matches("prefer out from 10.0.0.0/8", "192.0.2.1", 80, 0));
	assert_true(out_matches("require out from 10.0.0.0/8", "192.0.2.1", 80, 0));
	assert_false(out_matches("require out from 10.0.0.0/8 port 81", "192.0.2.1", 80, 0));
	assert_false(out_matches("off out from ::/0", "192.0.2.1", 80, 0));
	assert_true(out_matches("off out", "192.0.2.1", 80, 0));
}

static void test_ports_and_users(void **state)
{
	static const char *const rule = "require out port 80,8000-8100,65535 user 70";

	assert_true(out_matches(rule, "192.0.2.1", 80, 70));
	assert_true(out_matches(rule, "192.0.2.1", 8000, 70));
	assert_true(out_matches(rule, "192.0.2.1", 8100, 70));
	assert_true(out_matches(rule, "192.0.2.1", 65535, 70));
	assert_false(out_matches(rule, "192.0.2.1", 81, 70));
	assert_false(out_matches(rule, "192.0.2.1", 8101, 70));
	assert_false(out_matches(rule, "192.0.2.1", 80, 71));
	assert_true(out_matches("off out user 0", "192.0.2.1", 80, 0));
}

static void test_first_match(void **state)
{
	const struct policy_rule rules[] = { parsed("off in from 192.0.2.1"),
					     parsed("require in from 192.0.2.0/24"),
					     parsed("prefer in from 192.0.0.0/16") };
	const struct shared_endpoint local = endpoint("10.0.0.1", 80);
	const struct {
		const char *remote;
		enum policy_action action;
	} cases[] = { { "192.0.2.1", POLICY_OFF },
		      { "192.0.2.2", POLICY_REQUIRE },
		      { "192.0.3.1", POLICY_PREFER },
		      { "192.1.0.1", POLICY_NONE } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct shared_endpoint remote = endpoint(cases[i].remote, 40000);

		assert_int_equal(rule_for_incoming(rules, 3, &local, &remote), cases[i].action);
	}
}

static void test_errors(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} cases[] = {
		{ "", "begins with" },
		{ "must out", "begins with" },
		{ "off", "followed by" },
		{ "off sideways", "followed by" },
		{ "off out to", "missing" },
		{ "off out to 10.0.0.0/33", "not an address" },
		{ "off out to 10.0.0.0/-1", "not an address" },
		{ "off out to 10.0.0.0/", "not an address" },
		{ "off out to 10.0.0/8", "not an address" },
		{ "off out to 2001:db8::/129", "not an address" },
		{ "off out to 10.0.0.0/000000000000000000000000000000000000000000008", "not an" },
		{ "off out to ::ffff:10.0.0.0/104", "is IPv4" },
		{ "off in from ::ffff:10.1.2.3", "is IPv4" },
		{ "off out to 10.0.0.1/8", "beyond its prefix" },
		{ "off out to 10.0.0.0/8 to 11.0.0.0/8", "at most once" },
		{ "off out port", "wants a list" },
		{ "off out port http", "wants a list" },
		{ "off out port 0", "not a port" },
		{ "off out port 65536", "not a port" },
		{ "off out port 90-80", "not a port" },
		{ "off out port 80x", "not a port" },
		{ "off out port 1-00000000000080000", "not a port" },
		{ "off out port 80 port 81", "at most once" },
		{ "off out port 1 2 3 4 5 6 7 8 9", "more than" },
		{ "off out user no-such-user", "no user" },
		{ "off out user 1 user 2", "at most once" },
		{ "off in user root", "for outgoing" },
		{ "off in cgroup /x", "for outgoing" },
		{ "off out cgroup x", "wants a path" },
		{ "off out cgroup /", "wants a path" },
		{ "off out cgroup /a//b", "empty" },
		{ "off out cgroup /a/b/c/d/e/f/g", "levels" },
		{ "off in from 10.0.0.0/8 to ::/0", "IPv4 to IPv6" },
		{ "off in sometimes", "none of" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char copy[256], error[RULE_ERROR_MAX] = "";
		struct policy_rule rule;

		snprintf(copy, sizeof(copy), "%s", cases[i].text);
		if (rule_parse(copy, &rule, error) != -EINVAL || !strstr(error, cases[i].says))
			fail_msg("%s: %s", cases[i].text, error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_prefixes),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_source),
		cmocka_unit_test(test_ports_and_users),
		cmocka_unit_test(test_first_match),
		cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
