// SPDX-License-Identifier: BSD-2-Clause
#include "engine/guard.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/bpffs.h"
#include "engine/cgroup.h"
#include "engine/engine.h"
#include "engine/links.h"
#include "engine/maps.h"

/* Generated, and not as strict as we are. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wcast-qual"
#include "guard.skel.h"
#pragma GCC diagnostic pop

/* The names of what is pinned: the links, and the map of what they refused. */
#define PIN_CONNECT4 "connect4"
#define PIN_CONNECT6 "connect6"
#define PIN_LOOKUP   "lookup"
#define PIN_EGRESS   "egress"
#define PIN_REFUSALS "refusals"

#define NEW "new-" /* before the name of what does not count yet */

#define PIN_PATH_MAX  64
#define DIRECTORY_MAX 24 /* a number as text */

static const char *const pins[] = { PIN_CONNECT4, PIN_CONNECT6, PIN_LOOKUP, PIN_EGRESS,
				    PIN_REFUSALS };

#define N_PINS (sizeof(pins) / sizeof(pins[0]))

/* The maps of bpf/maps.h that the guard uses; the others are the daemon's alone. */
static const char *const shared_maps[] = { "settings",	    "policy_rules",   "policy_active",
					   "own_addresses", "eno_socks",      "listeners",
					   "refusals",	    "refusal_budgets" };

struct guard {
	struct guard_programs *programs;
	struct ring_buffer *refusals;
	uint64_t netns_cookie;
	int root_fd;	 /* of all guards' directories; negative: why there is none */
	uint64_t active; /* as in the map policy_active */
	uint64_t before;
	/* The handler of the dispatch under way. */
	guard_refusal_handler *handler;
	void *handler_data;
};

static bool is_shared(const char *map)
{
	for (size_t i = 0; i < sizeof(shared_maps) / sizeof(shared_maps[0]); i++)
		if (!strcmp(map, shared_maps[i]))
			return true;
	return false;
}

static void maps_choose(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) if (!is_shared(bpf_map__name(map)) &&
					       !bpf_map__is_internal(map))
		bpf_map__set_autocreate(map, false);
}

static int refusal_handle(void *ctx, void *data, size_t size)
{
	struct guard *g = ctx;

	if (size >= sizeof(struct shared_refusal))
		g->handler(data, g->handler_data);
	return 0;
}

int guard_load(uint64_t netns_cookie, const struct heritage *heritage, struct guard **ret)
{
	struct guard *g = calloc(1, sizeof(*g));
	int error = 0;

	if (!g)
		return -ENOMEM;
	g->netns_cookie = netns_cookie;
	g->root_fd = bpffs_open(true);
	g->programs = guard_programs__open();
	if (!g->programs) {
		error = -errno;
		guard_close(g);
		return error;
	}
	g->programs->rodata->guard_netns = netns_cookie;
	maps_choose(g->programs->obj);
	if (heritage)
		error = maps_inherit(g->programs->obj, heritage);
	if (!error)
		error = guard_programs__load(g->programs);
	if (!error) {
		g->refusals = ring_buffer__new(bpf_map__fd(g->programs->maps.refusals),
					       refusal_handle, g, NULL);
		error = g->refusals ? 0 : -errno;
	}
	if (error) {
		guard_close(g);
		return error;
	}
	*ret = g;
	return 0;
}

void guard_close(struct guard *g)
{
	if (!g)
		return;
	ring_buffer__free(g->refusals);
	guard_programs__destroy(g->programs);
	if (g->root_fd >= 0)
		close(g->root_fd);
	free(g);
}

int guard_share_maps(struct guard *g, struct bpf_object *obj)
{
	for (size_t i = 0; i < sizeof(shared_maps) / sizeof(shared_maps[0]); i++) {
		int fd = bpf_object__find_map_fd_by_name(g->programs->obj, shared_maps[i]);
		struct bpf_map *map = bpf_object__find_map_by_name(obj, shared_maps[i]);
		int error = map ? bpf_map__reuse_fd(map, fd) : -ENOENT;

		if (error)
			return error;
	}
	return 0;
}

/* Those in force, which another daemon may have set that this one replaces. */
static int active_read(struct guard *g)
{
	uint32_t zero = 0;

	return bpf_map_lookup_elem(bpf_map__fd(g->programs->maps.policy_active), &zero, &g->active);
}

static int activate(struct guard *g, uint64_t active)
{
	uint32_t zero = 0;
	int error = bpf_map_update_elem(bpf_map__fd(g->programs->maps.policy_active), &zero,
					&active, BPF_ANY);

	if (error)
		return error;
	g->before = g->active;
	g->active = active;
	return 0;
}

int guard_set_rules(struct guard *g, const struct policy_rule *rules, size_t n)
{
	int fd = bpf_map__fd(g->programs->maps.policy_rules);
	uint32_t base;
	int error;

	if (n > POLICY_RULES_MAX)
		return -E2BIG;
	error = active_read(g);
	if (error)
		return error;
	base = g->active >> 32 ? 0 : POLICY_RULES_MAX;
	for (size_t i = 0; i < n; i++) {
		uint32_t index = base + i;

		error = bpf_map_update_elem(fd, &index, &rules[i], BPF_ANY);

		if (error)
			return error;
	}
	return activate(g, (uint64_t)base << 32 | n);
}

void guard_restore_rules(struct guard *g)
{
	activate(g, g->before);
}

/* A namespace's directory, by its number. */
static int directory_open(int root_fd, uint64_t netns_cookie, bool make)
{
	char name[DIRECTORY_MAX];
	int fd;

	if (root_fd < 0)
		return root_fd;
	snprintf(name, sizeof(name), "%llu", (unsigned long long)netns_cookie);
	if (make && mkdirat(root_fd, name, 0700) && errno != EEXIST)
		return -errno;
	fd = openat(root_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* By the descriptor: who is no longer root may have lost the way there. */
static void pin_path(char path[static PIN_PATH_MAX], int directory, const char *prefix,
		     const char *name)
{
	snprintf(path, PIN_PATH_MAX, "/proc/self/fd/%d/%s%s", directory, prefix, name);
}

static int pin_get(int directory, const char *name)
{
	char path[PIN_PATH_MAX];

	pin_path(path, directory, "", name);
	return bpf_obj_get(path);
}

/* Under a name that does not count yet. */
static int pin_new(int fd, int directory, const char *name)
{
	char path[PIN_PATH_MAX];

	pin_path(path, directory, NEW, name);
	unlink(path);
	return bpf_obj_pin(fd, path);
}

/* What was pinned under that name goes, and with it its attachment. */
static int pin_replace(int directory, const char *name)
{
	char from[PIN_PATH_MAX], to[PIN_PATH_MAX];

	pin_path(from, directory, NEW, name);
	pin_path(to, directory, "", name);
	return rename(from, to) ? -errno : 0;
}

static void pins_remove(int directory, const char *prefix)
{
	char path[PIN_PATH_MAX];

	for (size_t i = 0; i < N_PINS; i++) {
		pin_path(path, directory, prefix, pins[i]);
		unlink(path);
	}
}

static int link_pin_new(struct bpf_link *link, int directory, const char *name)
{
	int error = link ? pin_new(bpf_link__fd(link), directory, name) : -errno;

	/* From here on the pin holds it. */
	bpf_link__destroy(link);
	return error;
}

static int cgroup_pin_new(struct bpf_program *program, int cgroup_fd, int directory,
			  const char *name)
{
	return link_pin_new(bpf_program__attach_cgroup(program, cgroup_fd), directory, name);
}

static int lookup_pin_new(struct bpf_program *program, int directory)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int error;

	if (fd < 0)
		return -errno;
	error = link_pin_new(bpf_program__attach_netns(program, fd), directory, PIN_LOOKUP);
	close(fd);
	return error;
}

int guard_install(struct guard *g, int cgroup_fd)
{
	struct guard_programs *p = g->programs;
	int directory = directory_open(g->root_fd, g->netns_cookie, true);
	int error;

	if (directory < 0)
		return directory;
	if ((error = cgroup_pin_new(p->progs.tcpcrypt_guard_egress, cgroup_fd, directory,
				    PIN_EGRESS)) ||
	    (error = cgroup_pin_new(p->progs.tcpcrypt_guard_connect4, cgroup_fd, directory,
				    PIN_CONNECT4)) ||
	    (error = cgroup_pin_new(p->progs.tcpcrypt_guard_connect6, cgroup_fd, directory,
				    PIN_CONNECT6)) ||
	    (error = lookup_pin_new(p->progs.tcpcrypt_guard_lookup, directory)) ||
	    (error = pin_new(bpf_map__fd(p->maps.refusals), directory, PIN_REFUSALS)))
		pins_remove(directory, NEW);
	for (size_t i = 0; !error && i < N_PINS; i++)
		error = pin_replace(directory, pins[i]);
	close(directory);
	return error;
}

/* At once: of a pin that is only taken away the kernel thinks when it likes. Who may not do this,
 * has taken the rules away before. */
static void links_detach(int directory)
{
	for (size_t i = 0; i < N_PINS; i++) {
		int fd = pin_get(directory, pins[i]);

		if (fd < 0)
			continue;
		bpf_link_detach(fd);
		close(fd);
	}
}

static int remove_at(int root_fd, uint64_t netns_cookie)
{
	int directory = directory_open(root_fd, netns_cookie, false);
	char name[DIRECTORY_MAX];

	if (directory < 0)
		return directory == -ENOENT ? 1 : directory;
	links_detach(directory);
	pins_remove(directory, NEW);
	pins_remove(directory, "");
	close(directory);
	snprintf(name, sizeof(name), "%llu", (unsigned long long)netns_cookie);
	return unlinkat(root_fd, name, AT_REMOVEDIR) ? -errno : 0;
}

int guard_uninstall(struct guard *g)
{
	/* Without a place to pin there is nothing pinned, and nothing wrong. */
	int outcome = g->root_fd < 0 ? 0 : remove_at(g->root_fd, g->netns_cookie);

	return outcome < 0 ? outcome : 0;
}

int guard_hand_over(struct guard *g, uid_t uid, gid_t gid)
{
	int directory = directory_open(g->root_fd, g->netns_cookie, false);
	int error = 0;

	if (g->root_fd >= 0 && fchown(g->root_fd, uid, gid))
		error = -errno;
	if (directory >= 0) {
		if (fchown(directory, uid, gid))
			error = -errno;
		close(directory);
	}
	return error;
}

int guard_remove(uint64_t netns_cookie)
{
	int root_fd = bpffs_open(false);
	int outcome = root_fd < 0 ? root_fd : remove_at(root_fd, netns_cookie);

	if (root_fd >= 0)
		close(root_fd);
	return outcome == -ENOENT ? 1 : outcome;
}

int guard_forget(void)
{
	uint64_t cookie;
	int error = engine_find_netns(&cookie);

	if (!error)
		error = guard_remove(cookie);
	return error < 0 ? error : 0;
}

bool guard_is_pinned(uint64_t netns_cookie)
{
	int root_fd = bpffs_open(false);
	int directory = directory_open(root_fd, netns_cookie, false);

	if (root_fd >= 0)
		close(root_fd);
	if (directory >= 0)
		close(directory);
	return directory >= 0;
}

/* A link to a namespace that is gone tells no number. */
static bool is_gone(int root_fd, uint64_t netns_cookie)
{
	int directory = directory_open(root_fd, netns_cookie, false);
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);
	bool gone;
	int fd;

	if (directory < 0)
		return false;
	fd = pin_get(directory, PIN_LOOKUP);
	close(directory);
	if (fd < 0)
		return false;
	gone = !bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == BPF_LINK_TYPE_NETNS &&
	       !info.netns.netns_ino;
	close(fd);
	return gone;
}

int guard_remove_gone(size_t *ret_n)
{
	int root_fd = bpffs_open(false);
	int error = 0;
	struct dirent *entry;
	DIR *dir;

	*ret_n = 0;
	if (root_fd < 0)
		return root_fd == -ENOENT ? 0 : root_fd;
	dir = fdopendir(root_fd);
	if (!dir) {
		close(root_fd);
		return -ENOMEM;
	}
	while (!error && (entry = readdir(dir))) {
		uint64_t cookie = strtoull(entry->d_name, NULL, 10);

		if (!cookie || !is_gone(root_fd, cookie))
			continue;
		error = remove_at(root_fd, cookie);
		*ret_n += !error;
	}
	closedir(dir);
	return error < 0 ? error : 0;
}

static void link_ignore(void *data, const struct links_interface *interface)
{
}

static void address_note(void *data, const uint8_t addr[16], bool present)
{
	struct guard *g = data;
	uint8_t yes = 1;

	bpf_map_update_elem(bpf_map__fd(g->programs->maps.own_addresses), addr, &yes, BPF_ANY);
}

int guard_leave(const struct policy_rule *rules, size_t n)
{
	static const struct links_ops ops = { .link = link_ignore, .address = address_note };
	struct guard *g = NULL;
	struct links *links = NULL;
	char cgroup[256];
	uint64_t cookie;
	int cgroup_fd = cgroup_open(cgroup, sizeof(cgroup));
	int error = cgroup_fd < 0 ? cgroup_fd : engine_find_netns(&cookie);

	if (!error)
		error = guard_load(cookie, NULL, &g);
	if (!error)
		error = links_open(&ops, g, &links);
	if (!error)
		error = guard_set_rules(g, rules, n);
	if (!error)
		error = guard_install(g, cgroup_fd);
	links_close(links);
	guard_close(g);
	if (cgroup_fd >= 0)
		close(cgroup_fd);
	return error;
}

int guard_refusals_fd(const struct guard *g)
{
	return ring_buffer__epoll_fd(g->refusals);
}

void guard_refusals_dispatch(struct guard *g, guard_refusal_handler *handler, void *data)
{
	g->handler = handler;
	g->handler_data = data;
	ring_buffer__consume(g->refusals);
}

void guard_pinned_refusals(struct guard *g, guard_refusal_handler *handler, void *data)
{
	struct guard reader = { .handler = handler, .handler_data = data };
	int directory = directory_open(g->root_fd, g->netns_cookie, false);
	struct ring_buffer *ring;
	int fd;

	if (directory < 0)
		return;
	fd = pin_get(directory, PIN_REFUSALS);
	close(directory);
	if (fd < 0)
		return;
	ring = ring_buffer__new(fd, refusal_handle, &reader, NULL);
	if (ring)
		ring_buffer__consume(ring);
	ring_buffer__free(ring);
	close(fd);
}
