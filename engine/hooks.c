// SPDX-License-Identifier: BSD-2-Clause
#include "engine/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <bpf/bpf.h>

#define KIND "link"

/* The last is the namespace's, the others the cgroup's; one is attached when it is needed. */
#define LOOKUP (HOOKS_N - 1)
#define INPROC (HOOKS_N - 2)

static const char *const names[HOOKS_N] = {
	"tcpcrypt_sockops",	 "tcpcrypt_getpeername4", "tcpcrypt_getpeername6",
	"tcpcrypt_getsockname4", "tcpcrypt_getsockname6", "tcpcrypt_connect4",
	"tcpcrypt_connect6",	 "tcpcrypt_getsockopt",	  "tcpcrypt_setsockopt",
	"tcpcrypt_ingress",	 "tcpcrypt_inproc_guard", "tcpcrypt_lookup",
};

static struct bpf_program *program_of(const struct bpf_object *obj, int i)
{
	return bpf_object__find_program_by_name(obj, names[i]);
}

void hooks_init(struct hooks *h)
{
	for (int i = 0; i < HOOKS_N; i++)
		h->links[i] = -1;
}

static int attach(struct hooks *h, const struct bpf_object *obj, int i, int target_fd)
{
	const struct bpf_program *program = program_of(obj, i);

	h->links[i] = bpf_link_create(bpf_program__fd(program), target_fd,
				      bpf_program__expected_attach_type(program), NULL);
	return h->links[i] < 0 ? -errno : 0;
}

int hooks_attach(struct hooks *h, const struct bpf_object *obj, int cgroup_fd)
{
	int netns_fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int error = netns_fd < 0 ? -errno : 0;

	for (int i = 0; !error && i < HOOKS_N; i++)
		if (i != INPROC)
			error = attach(h, obj, i, i == LOOKUP ? netns_fd : cgroup_fd);
	if (netns_fd >= 0)
		close(netns_fd);
	return error;
}

int hooks_attach_inproc(struct hooks *h, const struct bpf_object *obj, int cgroup_fd)
{
	return h->links[INPROC] < 0 ? attach(h, obj, INPROC, cgroup_fd) : 0;
}

int hooks_inherit(struct hooks *h, struct heritage *from)
{
	for (int i = 0; i < HOOKS_N; i++) {
		h->links[i] = heritage_take(from, KIND, names[i]);
		if (h->links[i] < 0 && i != INPROC)
			return -ESTALE;
	}
	return 0;
}

int hooks_bequeath(const struct hooks *h, struct heritage *to)
{
	int error = 0;

	for (int i = 0; !error && i < HOOKS_N; i++)
		if (h->links[i] >= 0)
			error = heritage_add(to, KIND, names[i], h->links[i]);
	return error;
}

int hooks_replace(const struct hooks *h, const struct bpf_object *obj)
{
	for (int i = 0; i < HOOKS_N; i++)
		if (h->links[i] >= 0 &&
		    bpf_link_update(h->links[i], bpf_program__fd(program_of(obj, i)), NULL))
			return -errno;
	return 0;
}

void hooks_close(struct hooks *h)
{
	for (int i = 0; i < HOOKS_N; i++)
		if (h->links[i] >= 0)
			close(h->links[i]);
	hooks_init(h);
}
