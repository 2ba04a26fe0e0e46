/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guard of policy `require`: programs that are pinned in bpffs, so that they outlive whoever
 * put them there (bpf/guard.bpf.c). Loaded, it has the maps that the daemon's programs share; it
 * acts from guard_install() on.
 *
 * Functions return 0 or a negative errno value.
 */
#ifndef ENGINE_GUARD_H
#define ENGINE_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "bpf/policy.h"
#include "engine/heritage.h"

struct bpf_object;
struct guard;

typedef void guard_refusal_handler(const struct shared_refusal *refusal, void *data);

/* Loads the programs for the network namespace with this cookie. heritage: NULL, or whose maps they
 * use. */
int guard_load(uint64_t netns_cookie, const struct heritage *heritage, struct guard **ret);

/* Before obj is loaded: it uses the guard's maps for its own of the same names. */
int guard_share_maps(struct guard *g, struct bpf_object *obj);

/* These rules, all at once, instead of those before. -E2BIG: more than POLICY_RULES_MAX. */
int guard_set_rules(struct guard *g, const struct policy_rule *rules, size_t n);

/* Back to those before the last guard_set_rules(). */
void guard_restore_rules(struct guard *g);

/* Attaches the programs to the cgroup and to the calling thread's network namespace and pins
 * them, in place of a guard that is there already; no moment is unguarded. */
int guard_install(struct guard *g, int cgroup_fd);

/* Frees what guard_load() made. What is pinned stays. Accepts NULL. */
void guard_close(struct guard *g);

/* Connections that were refused. Events come on this descriptor. */
int guard_refusals_fd(const struct guard *g);
void guard_refusals_dispatch(struct guard *g, guard_refusal_handler *handler, void *data);

/* What the guard that is pinned for the namespace has told nobody yet; nothing without one. */
void guard_pinned_refusals(struct guard *g, guard_refusal_handler *handler, void *data);

/* Takes the pinned guard away, if there is one. */
int guard_uninstall(struct guard *g);

/* From now on this user may install and uninstall, with CAP_NET_ADMIN and nothing else. */
int guard_hand_over(struct guard *g, uid_t uid, gid_t gid);

/* For root, who has loaded nothing: takes a namespace's pinned guard away; 1: there was none. */
int guard_remove(uint64_t netns_cookie);

/* Loads and pins a guard by itself, for the calling thread's namespace: these rules and the
 * addresses that the host has now. */
int guard_leave(const struct policy_rule *rules, size_t n);

/* The same for the calling thread's namespace: 0 also when there was none. */
int guard_forget(void);

bool guard_is_pinned(uint64_t netns_cookie);

/* Takes away the pinned guards of namespaces that are gone; *ret_n: how many. */
int guard_remove_gone(size_t *ret_n);

#endif
