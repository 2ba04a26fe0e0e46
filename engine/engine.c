// SPDX-License-Identifier: BSD-2-Clause
#include "engine/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/cgroup.h"
#include "engine/expiry.h"
#include "engine/guard.h"
#include "engine/lane.h"
#include "engine/tc.h"

/* Generated, and not as strict as we are. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "programs.skel.h"
#pragma GCC diagnostic pop

#define NS_PER_SECOND 1000000000ULL
#define WORKERS_SIZE  (SHARED_SLOTS * sizeof(struct shared_worker))

struct engine {
	struct programs *programs;
	struct shared_settings *settings; /* the settings map, mapped */
	struct shared_worker *workers;	  /* likewise, SHARED_SLOTS of them */
	struct window window;
	struct tc tc;
	struct guard *guard; /* whose maps the programs share */
	bool guarded;	     /* it is installed */
	int cgroup_fd;
	bool dying; /* programs' sockets wait for engine_time_out_run() */
	char cgroup[256];
	struct shared_settings initial;
};

static union shared_serving serving(const struct engine *e)
{
	return (union shared_serving){ .word = e->initial.serving };
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NS_PER_SECOND + ts.tv_nsec;
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
	struct shared_settings *s = &e->initial;
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

static int programs_load(struct engine *e)
{
	libbpf_print_fn_t print = libbpf_set_print(libbpf_quiet);
	int error;

	error = guard_load(e->initial.netns_cookie, &e->guard);
	if (!error) {
		e->programs = programs__open();
		error = e->programs ? guard_share_maps(e->guard, e->programs->obj) : -errno;
	}
	if (!error)
		error = programs__load(e->programs);
	libbpf_set_print(print);
	if (error)
		return error;
	e->settings = map_view(e->programs->maps.settings, sizeof(*e->settings));
	if (!e->settings)
		return -errno;
	e->workers = map_view(e->programs->maps.workers, WORKERS_SIZE);
	if (!e->workers)
		return -errno;
	return window_open(&e->window, bpf_map__fd(e->programs->maps.resumptions),
			   bpf_map__fd(e->programs->maps.claims));
}

int engine_open(const struct engine_params *params, struct engine **ret)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct engine *e = calloc(1, sizeof(*e));
	int error;

	if (!e)
		return -ENOMEM;
	e->cgroup_fd = -1;
	/* Kernels without memory accounting for BPF count maps as locked memory. */
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	error = settings_prepare(e, params);
	/* The programs must see the sockets of every program. */
	if (!error) {
		e->cgroup_fd = cgroup_open(e->cgroup, sizeof(e->cgroup));
		error = e->cgroup_fd < 0 ? e->cgroup_fd : 0;
	}
	if (!error)
		error = programs_load(e);
	if (error) {
		engine_close(e);
		return error;
	}
	tc_init(&e->tc, bpf_program__fd(e->programs->progs.tcpcrypt_steer),
		bpf_program__fd(e->programs->progs.tcpcrypt_hold));
	*ret = e;
	return 0;
}

/* Links end with the process: whatever kills it, the programs go. */
static int cgroup_attach(struct engine *e, struct bpf_program *program, struct bpf_link **link)
{
	*link = bpf_program__attach_cgroup(program, e->cgroup_fd);
	return *link ? 0 : -errno;
}

static int lookup_attach(struct engine *e)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	e->programs->links.tcpcrypt_lookup = bpf_program__attach_netns(
		e->programs->progs.tcpcrypt_lookup, fd);
	if (!e->programs->links.tcpcrypt_lookup)
		error = -errno;
	close(fd);
	return error;
}

int engine_attach(struct engine *e)
{
	struct programs *p = e->programs;
	const struct {
		struct bpf_program *program;
		struct bpf_link **link;
	} hooks[] = {
		{ p->progs.tcpcrypt_sockops, &p->links.tcpcrypt_sockops },
		{ p->progs.tcpcrypt_getpeername4, &p->links.tcpcrypt_getpeername4 },
		{ p->progs.tcpcrypt_getpeername6, &p->links.tcpcrypt_getpeername6 },
		{ p->progs.tcpcrypt_getsockname4, &p->links.tcpcrypt_getsockname4 },
		{ p->progs.tcpcrypt_getsockname6, &p->links.tcpcrypt_getsockname6 },
		{ p->progs.tcpcrypt_connect4, &p->links.tcpcrypt_connect4 },
		{ p->progs.tcpcrypt_connect6, &p->links.tcpcrypt_connect6 },
		{ p->progs.tcpcrypt_getsockopt, &p->links.tcpcrypt_getsockopt },
		{ p->progs.tcpcrypt_setsockopt, &p->links.tcpcrypt_setsockopt },
	};

	e->initial.heartbeat_ns = now_ns();
	e->initial.paused = true;
	*e->settings = e->initial;
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		int error = cgroup_attach(e, hooks[i].program, hooks[i].link);

		if (error)
			return error;
	}
	p->links.tcpcrypt_time_out = bpf_program__attach_iter(p->progs.tcpcrypt_time_out, NULL);
	return p->links.tcpcrypt_time_out ? lookup_attach(e) : -errno;
}

int engine_inproc_guard(struct engine *e)
{
	int error = 0;

	if (!e->programs->links.tcpcrypt_inproc_guard)
		error = cgroup_attach(e, e->programs->progs.tcpcrypt_inproc_guard,
				      &e->programs->links.tcpcrypt_inproc_guard);
	if (!error)
		__atomic_store_n(&e->settings->guarded, 1, __ATOMIC_RELEASE);
	return error;
}

int engine_configure(struct engine *e, const struct engine_policy *policy)
{
	int error = settings_policy(&e->initial, policy);

	return error ? error : settings_policy(e->settings, policy);
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

void engine_set_paused(struct engine *e, bool paused)
{
	__atomic_store_n(&e->settings->paused, paused, __ATOMIC_RELAXED);
}

void engine_set_loopback(struct engine *e, bool up)
{
	__atomic_store_n(&e->settings->loopback, up, __ATOMIC_RELAXED);
}

void engine_leave_servers_v6(struct engine *e, unsigned int seconds)
{
	__atomic_store_n(&e->settings->full_until, now_ns() + seconds * NS_PER_SECOND,
			 __ATOMIC_RELAXED);
}

void engine_close(struct engine *e)
{
	if (!e)
		return;
	tc_deinit(&e->tc);
	window_close(&e->window);
	if (e->settings)
		munmap(e->settings, sizeof(*e->settings));
	if (e->workers)
		munmap(e->workers, WORKERS_SIZE);
	programs__destroy(e->programs);
	guard_close(e->guard);
	if (e->cgroup_fd >= 0)
		close(e->cgroup_fd);
	free(e);
}

void engine_heartbeat(struct engine *e, uint64_t time_ns)
{
	__atomic_store_n(&e->settings->heartbeat_ns, time_ns, __ATOMIC_RELAXED);
}

const char *engine_cgroup(const struct engine *e)
{
	return e->cgroup;
}

uint64_t engine_netns_cookie(const struct engine *e)
{
	return e->initial.netns_cookie;
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

static int mark(struct engine *e, int fd, const struct eno_sock *sock)
{
	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.eno_socks), &fd, sock, BPF_ANY);
}

/* 8548-3.5-15: the only suboption, because a SYN has just the room for it. */
static void offer_resumption(struct eno_sock *sock, const struct engine_offer *offer)
{
	memcpy(sock->fresh, sock->own, sizeof(sock->fresh));
	memcpy(sock->fresh_teps, sock->teps, sizeof(sock->fresh_teps));
	sock->fresh_len = sock->own_len;
	memcpy(sock->own, offer->resume, sizeof(sock->own));
	memset(sock->teps, 0, sizeof(sock->teps));
	sock->teps[0] = offer->peer_half.tep;
	sock->own_len = offer->resume_len;
	sock->nonce_len = offer->nonce_len;
	sock->peer_half = offer->peer_half;
}

int engine_mark_upstream(struct engine *e, int fd, const struct engine_offer *offer,
			 const struct shared_event *held, uint64_t flow)
{
	struct eno_sock sock = { .kind = ENO_SOCK_UPSTREAM,
				 .own_len = offer->len,
				 .program = held->cookie,
				 .flow = flow,
				 .required = held->app.policy == POLICY_REQUIRE };

	memcpy(sock.own, offer->option, sizeof(sock.own));
	memcpy(sock.teps, offer->teps, sizeof(sock.teps));
	sock.mandatory_app_aware = offer->mandatory_app_aware;
	if (offer->resume_len)
		offer_resumption(&sock, offer);
	return mark(e, fd, &sock);
}

int engine_mark_listener(struct engine *e, int fd, enum eno_sock_kind kind)
{
	struct eno_sock sock = { .kind = kind };

	return mark(e, fd, &sock);
}

int engine_mark_to_app(struct engine *e, int fd, const struct shared_endpoint *client,
		       uint64_t flow)
{
	struct eno_sock sock = { .kind = ENO_SOCK_TO_APP, .client = { *client, 0, flow } };

	return mark(e, fd, &sock);
}

int engine_lead_to(struct engine *e, unsigned int slot, int fd, bool out, bool v6)
{
	uint32_t index = shared_listener(slot, out, v6);
	uint64_t value = fd;

	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.listeners), &index, &value,
				   BPF_ANY);
}

void engine_forget_to_app(struct engine *e, const struct shared_endpoint *local,
			  const struct shared_endpoint *server)
{
	struct shared_tuple key = { .local = *server, .remote = *local };

	bpf_map_delete_elem(bpf_map__fd(e->programs->maps.clients), &key);
}

struct window *engine_window(struct engine *e)
{
	return &e->window;
}

int engine_eno(struct engine *e, int fd, struct eno_sock *ret)
{
	return bpf_map_lookup_elem(bpf_map__fd(e->programs->maps.eno_socks), &fd, ret);
}

int engine_remember_plain(struct engine *e, const struct shared_endpoint *dst, unsigned int seconds,
			  bool grows)
{
	int fd = bpf_map__fd(e->programs->maps.plain_destinations);
	struct shared_plain plain = {};

	/* An entry whose time is over still tells how long it was. */
	if (!grows || bpf_map_lookup_elem(fd, dst, &plain))
		plain.seconds = 0;
	plain.seconds = expiry_next(plain.seconds, seconds);
	plain.until = now_ns() + plain.seconds * NS_PER_SECOND;
	if (!grows)
		plain.seconds = 0;
	return bpf_map_update_elem(fd, dst, &plain, BPF_ANY);
}

int engine_forget_one(struct engine *e, const struct shared_endpoint *dst)
{
	int fd = bpf_map__fd(e->programs->maps.plain_destinations);

	return bpf_map_delete_elem(fd, dst) && errno != ENOENT ? -errno : 0;
}

int engine_forget_plain(struct engine *e)
{
	int fd = bpf_map__fd(e->programs->maps.plain_destinations);
	struct shared_endpoint key;

	while (!bpf_map_get_next_key(fd, NULL, &key))
		if (bpf_map_delete_elem(fd, &key) && errno != ENOENT)
			return -errno;
	return 0;
}

int engine_session_publish(struct engine *e, const struct shared_session *session)
{
	return bpf_map_update_elem(bpf_map__fd(e->programs->maps.sessions), &session->flow, session,
				   BPF_ANY);
}

void engine_session_withdraw(struct engine *e, uint64_t flow)
{
	bpf_map_delete_elem(bpf_map__fd(e->programs->maps.sessions), &flow);
}

int engine_options_take(struct engine *e, uint64_t cookie, struct app_options *ret)
{
	const struct shared_told key = { .cookie = cookie, .type = SHARED_EVENT_OPTIONS };

	/* In this order: what comes in between is told again. */
	bpf_map_delete_elem(bpf_map__fd(e->programs->maps.told), &key);
	return bpf_map_lookup_elem(bpf_map__fd(e->programs->maps.changed_options), &cookie, ret);
}

int engine_time_out(struct engine *e, uint64_t flow)
{
	uint8_t yes = 1;

	if (bpf_map_update_elem(bpf_map__fd(e->programs->maps.dying), &flow, &yes, BPF_ANY))
		return -errno;
	__atomic_store_n(&e->dying, true, __ATOMIC_RELEASE);
	return 0;
}

int engine_time_out_run(struct engine *e)
{
	char nothing[64];
	ssize_t n;
	int fd;

	if (!__atomic_exchange_n(&e->dying, false, __ATOMIC_ACQ_REL))
		return 0;
	fd = bpf_iter_create(bpf_link__fd(e->programs->links.tcpcrypt_time_out));
	if (fd < 0)
		return -errno;
	/* Reading is what makes it go through all sockets; the program writes nothing. */
	do
		n = read(fd, nothing, sizeof(nothing));
	while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	close(fd);
	return n < 0 ? -errno : 0;
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
		.released_fd = bpf_map__fd(e->programs->maps.released),
		.workers = e->workers,
	};

	return lane_open(&maps, slot, ret);
}
