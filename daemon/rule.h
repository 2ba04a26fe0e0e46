/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One policy rule of the configuration, as text:
 *
 *   ACTION out|in [from PREFIX] [to PREFIX] [port LIST] [user NAME] [cgroup PATH]
 */
#ifndef DAEMON_RULE_H
#define DAEMON_RULE_H

#include <stddef.h>

#include "bpf/policy.h"

#define RULE_ERROR_MAX 128

/* Reads text, which it takes apart. 0, or -EINVAL with what is wrong with it. */
int rule_parse(char *text, struct policy_rule *ret, char error[static RULE_ERROR_MAX]);

/* What the rules say of a connection that came from the network. */
enum policy_action rule_for_incoming(const struct policy_rule *rules, size_t n,
				     const struct shared_endpoint *local,
				     const struct shared_endpoint *remote);

#endif
