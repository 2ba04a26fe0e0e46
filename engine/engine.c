// SPDX-License-Identifier: BSD-2-Clause
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/cgroup.h"
#include "engine/guard.h"
#include "engine/lane.h"
#include "engine/maps.h"
#include "engine/programs.h"

#define WORKERS_SIZE  (SHARED_SLOTS * sizeof(struct shared_worker))
#define VIEWS_SIZE    (SHARED_VIEWS * sizeof(struct shared_view))
#define OPENINGS_SIZE (SHARED_OPENINGS * sizeof(struct shared_opening))

static union shared_serving serving(const struct engine *e)
{
	return (union shared_serving){ .word = e->own.serving };
}

/* The kernel's unit of time: what its coarse clock advances by. 0: it does not say. */
static uint32_t jiffies(unsigned int ms)
{
	struct timespec tick;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &tick) || tick.tv_sec || !tick.tv_nsec)
		return 0;
	return ms * (NS_PER_SECOND / 1000) / tick.tv_nsec;
}

int engine_find_netns(uint64_t *ret)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret, &len))
		error = -errno;
	close(fd);
	return error;
}

/* What a new socket's options are; those that are not asked for are the same everywhere. */
static int usual_find(struct app_options *usual)
{
	static const struct {
		enum app_option option;
		int level, name;
	} asked[] = {
		{ APP_KEEPIDLE, IPPROTO_TCP, TCP_KEEPIDLE },
		{ APP_KEEPINTVL, IPPROTO_TCP, TCP_KEEPINTVL },
		{ APP_KEEPCNT, IPPROTO_TCP, TCP_KEEPCNT },
		{ APP_SYNCNT, IPPROTO_TCP, TCP_SYNCNT },
		{ APP_MAXSEG, IPPROTO_TCP, TCP_MAXSEG },
		{ APP_PACING_RATE, SOL_SOCKET, SO_MAX_PACING_RATE },
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(usual->congestion);

	if (fd < 0)
		return -errno;
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		socklen_t size = sizeof(int32_t);

		getsockopt(fd, asked[i].level, asked[i].name, &usual->value[asked[i].option],
			   &size);
	}
	getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, usual->congestion, &len);
	close(fd);
	return 0;
}

/* The values that the socket options have before they are written. */
static void defaults_set(struct shared_settings *s, const struct engine_policy *policy)
{
	size_t n = policy->n_aeads;

	if (n > TCP_ENO_RAW_MAX / 2)
		n = TCP_ENO_RAW_MAX / 2;
	memcpy(s->default_teps.bytes, policy->teps, policy->n_teps);
	s->default_teps.len = policy->n_teps;
	for (size_t i = 0; i < n; i++) {
		uint8_t *a = s->default_aconf.bytes + 2 * i;
		uint8_t *b = s->default_bconf.bytes + 2 * (n - 1 - i);

		a[0] = b[0] = policy->aeads[i] >> 8;
		a[1] = b[1] = policy->aeads[i] & 0xff;
	}
	s->default_aconf.len = s->default_bconf.len = 2 * n;
}

static int settings_policy(struct shared_settings *s, const struct engine_policy *policy)
{
	if (policy->n_teps > SHARED_TEPS_MAX)
		return -EINVAL;
	memset(s->teps, 0, sizeof(s->teps));
	memcpy(s->teps, policy->teps, policy->n_teps);
	if (policy->left_alone)
		memcpy(s->left_alone, policy->left_alone, sizeof(s->left_alone));
	s->remember_seconds = policy->remember_seconds;
	defaults_set(s, policy);
	return 0;
}

static int settings_prepare(struct engine *e, const struct engine_params *params)
{
	struct shared_settings *s = &e->own;
	int error;

	if (!params->n_workers || params->n_workers > SHARED_WORKERS_MAX)
		return -EINVAL;
	error = engine_find_netns(&s->netns_cookie);
	if (error)
		return error;
	error = usual_find(&s->usual);
	if (error)
		return error;
	s->syn_timeout = jiffies(SHARED_SYN_TIMEOUT_MS);
	s->serving = (union shared_serving){ .n_workers = params->n_workers,
					     .out_port = params->out_port }
			     .word;
	return settings_policy(s, &params->policy);
}

/* Only the engine's own messages reach the log, not every step of libbpf's. */
__attribute__((format(printf, 2, 0))) static int libbpf_quiet(enum libbpf_print_level level,
							      const char *format, va_list args)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, format, args) : 0;
}

/* A map's memory, or NULL with errno. */
static void *map_view(const struct bpf_map *map, size_t size)
{
	void *view = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return view == MAP_FAILED ? NULL : view;
}

/* So many slots in a row, of which nobody has a ring. */
static int slots_find(struct engine *e)
{
	int fd = bpf_map__fd(e->programs->maps.events);
	union shared_serving own = serving(e);
	unsigned int n = 0;
	uint32_t id;

	for (uint32_t slot = 0; slot < SHARED_SLOTS && n < own.n_workers; slot++) {
		n = bpf_map_lookup_elem(fd, &slot, &id) ? n + 1 : 0;
		own.first_slot = slot + 1 - n;
	}
	if (n < own.n_workers)
		return -ENOSPC;
	e->own.serving = own.word;
	return 0;
}

static int programs_load(struct engine *e, struct heritage *heritage)
{
	libbpf_print_fn_t print = libbpf_set_print(libbpf_quiet);
	int error;

	error = guard_load(e->own.netns_cookie, heritage, &e->guard);
	if (!error) {
		e->programs = programs__open();
		error = e->programs ? guard_share_maps(e->guard, e->programs->obj) : -errno;
	}
	if (!error && heritage)
		error = maps_inherit(e->programs->obj, heritage);
	if (!error)
		error = programs__load(e->programs);
	if (!error && heritage)
		error = hooks_inherit(&e->hooks, heritage);
	libbpf_set_print(print);
	if (error)
		return error;
	e->settings = map_view(e->programs->maps.settings, sizeof(*e->settings));
	if (!e->settings)
		return -errno;
	e->workers = map_view(e->programs->maps.workers, WORKERS_SIZE);
	if (!e->workers)
		return -errno;
	e->views = map_view(e->programs->maps.views, VIEWS_SIZE);
	if (!e->views)
		return -errno;
	e->openings = map_view(e->programs->maps.openings, OPENINGS_SIZE);
	if (!e->openings)
		return -errno;
	if (getrandom(&e->token, sizeof(e->token), 0) != sizeof(e->token))
		return -EIO;
	error = slots_find(e);
	if (error)
		return error;
	window_watch(&e->window, &e->workers[serving(e).first_slot], serving(e).n_workers);
	e->own.claims = heritage && !e->settings->claims;
	error = window_open(&e->window, bpf_map__fd(e->programs->maps.resumptions),
			    bpf_map__fd(e->programs->maps.claims),
			    e->own.claims ? SHARED_RESUMPTIONS_MAX : 0, SHARED_RESUMPTIONS_MAX);
	if (error)
		return error;
	return vault_open(&e->vault,
			  &(struct vault_maps){
				  .resumptions = bpf_map__fd(e->programs->maps.resumptions),
				  .claims = bpf_map__fd(e->programs->maps.claims),
				  .secrets = bpf_map__fd(e->programs->maps.secrets),
				  .offers = bpf_map__fd(e->programs->maps.offers),
				  .offers_to = bpf_map__fd(e->programs->maps.offers_to),
			  },
			  e->own.claims, heritage);
}

int engine_open(const struct engine_params *params, struct engine **ret)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct engine *e = calloc(1, sizeof(*e));
	int error;

	if (!e)
		return -ENOMEM;
	e->cgroup_fd = -1;
	hooks_init(&e->hooks);
	pthread_mutex_init(&e->lock, NULL);
	/* Kernels without memory accounting for BPF count maps as locked memory. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	error = settings_prepare(e, params);
	/* The programs must see the sockets of every program. */
	if (!error) {
		e->cgroup_fd = cgroup_open(e->cgroup, sizeof(e->cgroup));
		error = e->cgroup_fd < 0 ? e->cgroup_fd : 0;
	}
	if (!error)
		error = programs_load(e, params->heritage);
	if (error) {
		engine_close(e);
		return error;
	}
	tc_init(&e->tc, bpf_program__fd(e->programs->progs.tcpcrypt_steer),
		bpf_program__fd(e->programs->progs.tcpcrypt_hold));
	e->own.paused = true;
	e->serves = !params->heritage;
	*ret = e;
	return 0;
}

int engine_attach(struct engine *e)
{
	struct programs *p = e->programs;

	p->links.tcpcrypt_time_out = bpf_program__attach_iter(p->progs.tcpcrypt_time_out, NULL);
	if (!p->links.tcpcrypt_time_out)
		return -errno;
	if (!e->serves)
		return 0;
	e->own.heartbeat_ns = now_ns();
	*e->settings = e->own;
	return hooks_attach(&e->hooks, p->obj, e->cgroup_fd);
}

int engine_bequeath(struct engine *e, struct heritage *to)
{
	int error = hooks_bequeath(&e->hooks, to);

	return error ? error : maps_bequeath(e->programs->obj, to);
}

void engine_yield(struct engine *e)
{
	pthread_mutex_lock(&e->lock);
	e->serves = false;
	pthread_mutex_unlock(&e->lock);
	tc_forget(&e->tc);
}

/* All but the mark that programs have wishes, which is theirs; who serves changes last. */
static void settings_write(struct engine *e)
{
	struct shared_settings *s = e->settings;
	struct shared_settings own = e->own;
	size_t behind = offsetof(struct shared_settings, wishes) + sizeof(s->wishes);

	own.serving = s->serving;
	own.guarded = s->guarded;
	memcpy(s, &own, offsetof(struct shared_settings, wishes));
	memcpy((uint8_t *)s + behind, (uint8_t *)&own + behind, sizeof(own) - behind);
	__atomic_store_n(&s->serving, e->own.serving, __ATOMIC_RELEASE);
}

int engine_take_over(struct engine *e)
{
	int error = hooks_replace(&e->hooks, e->programs->obj);

	/* It may be the other's alone, which was asked for it meanwhile. */
	if (!error && e->settings->guarded)
		error = hooks_attach_inproc(&e->hooks, e->programs->obj, e->cgroup_fd);
	if (error)
		return error;
	pthread_mutex_lock(&e->lock);
	e->serves = true;
	e->own.heartbeat_ns = now_ns();
	settings_write(e);
	pthread_mutex_unlock(&e->lock);
	return 0;
}

void engine_revoke(struct engine *e)
{
	/* Identifiers last: what stands behind theirs is taken back by then. */
	vault_revoke_all(&e->vault);
	window_revoke_all(&e->window);
}

void engine_sweep_slots(struct engine *e, bool (*in_use)(void *data, unsigned int slot), void *data)
{
	unsigned int first = serving(e).first_slot, n = serving(e).n_workers;
	int fd = bpf_map__fd(e->programs->maps.events);

	for (uint32_t slot = 0; slot < SHARED_SLOTS; slot++)
		if (slot - first >= n && !in_use(data, slot) && !bpf_map_delete_elem(fd, &slot))
			sockets_forget_slot(e, slot);
}

size_t engine_flows(const struct engine *e, unsigned int first_slot, unsigned int n)
{
	size_t flows = 0;

	for (unsigned int i = 0; i < n && first_slot + i < SHARED_SLOTS; i++)
		flows += __atomic_load_n(&e->workers[first_slot + i].flows, __ATOMIC_RELAXED);
	return flows;
}

int engine_inproc_guard(struct engine *e)
{
	int error = 0;

	pthread_mutex_lock(&e->lock);
	/* Otherwise the program asks again, and then another daemon. */
	if (e->serves) {
		error = hooks_attach_inproc(&e->hooks, e->programs->obj, e->cgroup_fd);
		if (!error)
			__atomic_store_n(&e->settings->guarded, 1, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&e->lock);
	return error;
}

int engine_configure(struct engine *e, const struct engine_policy *policy)
{
	int error;

	pthread_mutex_lock(&e->lock);
	error = settings_policy(&e->own, policy);
	if (!error && e->serves)
		error = settings_policy(e->settings, policy);
	pthread_mutex_unlock(&e->lock);
	return error;
}

static bool any_required(const struct policy_rule *rules, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (rules[i].action == POLICY_REQUIRE)
			return true;
	return false;
}

int engine_enforce(struct engine *e, const struct policy_rule *rules, size_t n)
{
	bool required = any_required(rules, n);
	int error = guard_set_rules(e->guard, rules, n);

	if (error)
		return error;
	if (required && !e->guarded)
		error = guard_install(e->guard, e->cgroup_fd);
	else if (!required)
		error = guard_uninstall(e->guard);
	if (error < 0) {
		guard_restore_rules(e->guard);
		return error;
	}
	e->guarded = required;
	return 0;
}

int engine_hand_over(struct engine *e, uid_t uid, gid_t gid)
{
	return guard_hand_over(e->guard, uid, gid);
}

void engine_pinned_refusals(struct engine *e, guard_refusal_handler *handler, void *data)
{
	guard_pinned_refusals(e->guard, handler, data);
}

int engine_refusals_fd(const struct engine *e)
{
	return guard_refusals_fd(e->guard);
}

void engine_refusals_dispatch(struct engine *e, guard_refusal_handler *handler, void *data)
{
	guard_refusals_dispatch(e->guard, handler, data);
}

/* Sets a byte of the settings; what they have while another daemon serves is its own. */
static void flag_set(struct engine *e, size_t at, bool value)
{
	pthread_mutex_lock(&e->lock);
	((uint8_t *)&e->own)[at] = value;
	if (e->serves)
		__atomic_store_n((uint8_t *)e->settings + at, (uint8_t)value, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&e->lock);
}

void engine_set_paused(struct engine *e, bool paused)
{
	flag_set(e, offsetof(struct shared_settings, paused), paused);
}

void engine_set_loopback(struct engine *e, bool up)
{
	flag_set(e, offsetof(struct shared_settings, loopback), up);
}

void engine_leave_servers_v6(struct engine *e, unsigned int seconds)
{
	pthread_mutex_lock(&e->lock);
	e->own.full_until = now_ns() + seconds * NS_PER_SECOND;
	if (e->serves)
		__atomic_store_n(&e->settings->full_until, e->own.full_until, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&e->lock);
}

void engine_close(struct engine *e)
{
	if (!e)
		return;
	if (e->serves)
		tc_deinit(&e->tc);
	tc_forget(&e->tc);
	window_close(&e->window);
	vault_close(&e->vault, e->serves);
	if (e->settings)
		munmap(e->settings, sizeof(*e->settings));
	if (e->workers)
		munmap(e->workers, WORKERS_SIZE);
	if (e->views)
		munmap(e->views, VIEWS_SIZE);
	if (e->openings)
		munmap(e->openings, OPENINGS_SIZE);
	programs__destroy(e->programs);
	guard_close(e->guard);
	if (e->cgroup_fd >= 0)
		close(e->cgroup_fd);
	free(e);
}

void engine_heartbeat(struct engine *e, uint64_t time_ns)
{
	if (e->serves)
		__atomic_store_n(&e->settings->heartbeat_ns, time_ns, __ATOMIC_RELAXED);
}

const char *engine_cgroup(const struct engine *e)
{
	return e->cgroup;
}

uint64_t engine_netns_cookie(const struct engine *e)
{
	return e->own.netns_cookie;
}

int engine_interface_add(struct engine *e, int ifindex, bool loopback)
{
	return tc_attach(&e->tc, ifindex, loopback);
}

void engine_interface_remove(struct engine *e, int ifindex)
{
	tc_detach(&e->tc, ifindex);
}

int engine_own_address_add(struct engine *e, const uint8_t addr[16])
{
	uint8_t yes = 1;

	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.own_addresses), addr, &yes,
				   BPF_ANY);
}

int engine_own_address_remove(struct engine *e, const uint8_t addr[16])
{
	return bpf_map_delete_elem(bpf_map__fd(e->programs->maps.own_addresses), addr);
}

void engine_own_addresses_sweep(struct engine *e,
				bool (*is_own)(const void *data, const uint8_t addr[16]),
				const void *data)
{
	int fd = bpf_map__fd(e->programs->maps.own_addresses);
	uint8_t addr[16], next[16];
	bool more = !bpf_map_get_next_key(fd, NULL, next);

	while (more) {
		memcpy(addr, next, sizeof(addr));
		more = !bpf_map_get_next_key(fd, addr, next);
		if (!is_own(data, addr))
			bpf_map_delete_elem(fd, addr);
	}
}

struct vault *engine_vault(struct engine *e)
{
	return &e->vault;
}

struct window *engine_window(struct engine *e)
{
	return &e->window;
}

unsigned int engine_first_slot(const struct engine *e)
{
	return serving(e).first_slot;
}

int engine_lane_open(struct engine *e, unsigned int slot, struct engine_lane **ret)
{
	const struct lane_maps maps = {
		.n_workers = serving(e).n_workers,
		.events_fd = bpf_map__fd(e->programs->maps.events),
		.workers = e->workers,
	};

	return lane_open(&maps, slot, ret);
}
