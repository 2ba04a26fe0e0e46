// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/container.h"
#include "daemon/control.h"
#include "daemon/log.h"
#include "engine/claim.h"
#include "engine/links.h"
#include "inproc/message.h"

#define INTERFACES_MAX 256

struct interface {
	int ifindex;
	char name[IF_NAMESIZE];
};

struct host_links {
	struct loop_source source;
	struct loop *loop;
	struct engine *engine;
	struct links *links;
	struct interface interfaces[INTERFACES_MAX];
	size_t n;
};

/* Others may go through to the control socket, whatever the umask, but not open it: who can open a
 * directory can lock it, and so keep the next daemon from starting. */
#define DIRECTORY_MODE 0711

static int directory_make(const char *path)
{
	int error;

	if (mkdir(path, DIRECTORY_MODE) ? errno == EEXIST : !chmod(path, DIRECTORY_MODE))
		return 0;
	error = -errno;
	log_error("%s: %s", path, strerror(-error));
	return error;
}

/* Opens and locks the file, unless whoever held it last removed it meanwhile: then positive. */
static int claim_try(struct host_lock *lock)
{
	struct stat held, there;
	int error;
	int fd = open(lock->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		error = -errno;
		close(fd);
		return error;
	}
	if (fstat(fd, &held) || stat(lock->path, &there) || held.st_ino != there.st_ino) {
		close(fd);
		return 1;
	}
	lock->claim_fd = fd;
	return 0;
}

/* Takes away the locks that nobody holds: of daemons that were killed, or that became another
 * user than the one who owns the directory now. */
static void locks_sweep(void)
{
	DIR *dir = opendir(CLAIM_DIR);
	const struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		int fd = openat(dirfd(dir), entry->d_name,
				O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

		if (fd >= 0 && entry->d_type == DT_REG && !flock(fd, LOCK_EX | LOCK_NB))
			unlinkat(dirfd(dir), entry->d_name, 0);
		if (fd >= 0)
			close(fd);
	}
	if (dir)
		closedir(dir);
}

/* Only root and the daemon can write there, so that nobody else can keep it from starting. */
int host_claim(struct host_lock *lock)
{
	uint64_t cookie;
	int tries = CLAIM_TRIES;
	int error = engine_find_netns(&cookie);

	if (error)
		return error;
	error = directory_make(CLAIM_DIR);
	if (error)
		return error;
	locks_sweep();
	claim_path(cookie, lock->path);
	/* A daemon that sweeps has it for a moment, too. */
	do
		error = claim_try(lock);
	while (error > 0 || (error == -EWOULDBLOCK && tries-- && !usleep(CLAIM_WAIT_US)));
	if (error == -EWOULDBLOCK)
		log_error("another tcpcryptd serves this network namespace already");
	else if (error)
		log_error("%s: %s", lock->path, strerror(-error));
	return error;
}

int host_lock(struct host_lock *lock, const char *run_dir)
{
	int fd, error;

	error = host_claim(lock);
	if (error)
		return error;
	error = directory_make(run_dir);
	if (error)
		return error;
	fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB)) {
		error = -errno;
		log_error("%s: %s", run_dir,
			  error == -EWOULDBLOCK ? "in use by another tcpcryptd" : strerror(-error));
		if (fd >= 0)
			close(fd);
		return error;
	}
	lock->dir_fd = fd;
	return 0;
}

void host_unlock(struct host_lock *lock)
{
	if (lock->dir_fd)
		close(lock->dir_fd);
	if (lock->claim_fd) {
		if (!lock->theirs)
			unlink(lock->path);
		close(lock->claim_fd);
	}
	memset(lock, 0, sizeof(*lock));
}

int host_lock_bequeath(const struct host_lock *lock, struct heritage *to)
{
	int error = heritage_add(to, "lock", "namespace", lock->claim_fd);

	return error ? error : heritage_add(to, "lock", "run-dir", lock->dir_fd);
}

int host_lock_inherit(struct host_lock *lock, struct heritage *from)
{
	int claim_fd = heritage_take(from, "lock", "namespace");
	int dir_fd = heritage_take(from, "lock", "run-dir");
	struct stat ours, held;
	uint64_t cookie;
	int error = engine_find_netns(&cookie);

	lock->claim_fd = claim_fd > 0 ? claim_fd : 0;
	lock->dir_fd = dir_fd > 0 ? dir_fd : 0;
	lock->theirs = true;
	if (error)
		return error;
	claim_path(cookie, lock->path);
	/* It must be for this namespace. */
	if (!lock->claim_fd || !lock->dir_fd || stat(lock->path, &ours) ||
	    fstat(lock->claim_fd, &held) || ours.st_ino != held.st_ino) {
		log_error("the running tcpcryptd serves another network namespace");
		return -EXDEV;
	}
	return 0;
}

/* Whether a directory has nothing in it but our sockets: then it was made for us. */
static bool is_ours(int dir_fd)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	bool ours = dir != NULL;

	if (!dir && fd >= 0)
		close(fd);
	while (ours && (entry = readdir(dir)))
		ours = !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..") ||
		       !strcmp(entry->d_name, CONTROL_SOCKET_NAME) ||
		       !strcmp(entry->d_name, MESSAGE_SOCKET_NAME);
	if (dir)
		closedir(dir);
	return ours;
}

void host_hand_over(const struct host_lock *lock, uid_t uid, gid_t gid)
{
	/* Where it does not work, an old socket and an empty lock stay: both do no harm. */
	if (is_ours(lock->dir_fd) && fchown(lock->dir_fd, uid, gid))
		log_debug("the run directory stays root's: %s", strerror(errno));
	if (lchown(CLAIM_DIR, uid, gid))
		log_debug("%s stays root's: %s", CLAIM_DIR, strerror(errno));
}

static void interface_forget(struct host_links *h, int ifindex)
{
	for (size_t i = 0; i < h->n; i++) {
		if (h->interfaces[i].ifindex != ifindex)
			continue;
		h->interfaces[i] = h->interfaces[--h->n];
		return;
	}
}

static void link_changed(void *data, const struct links_interface *interface)
{
	struct host_links *h = data;
	int error;

	interface_forget(h, interface->index);
	if (interface->loopback)
		engine_set_loopback(h->engine, interface->present && interface->up);
	if (!interface->present) {
		/* An index may come back with another interface. */
		engine_interface_remove(h->engine, interface->index);
		return;
	}
	error = engine_interface_add(h->engine, interface->index, interface->loopback);
	if (error) {
		log_warning("interface %s is not served: %s", interface->name, strerror(-error));
		return;
	}
	if (h->n == INTERFACES_MAX)
		return;
	h->interfaces[h->n].ifindex = interface->index;
	strncpy(h->interfaces[h->n].name, interface->name, IF_NAMESIZE - 1);
	h->n++;
}

static void address_changed(void *data, const uint8_t addr[16], bool present)
{
	struct host_links *h = data;

	if (present)
		engine_own_address_add(h->engine, addr);
	else
		engine_own_address_remove(h->engine, addr);
}

static bool is_own(const void *data, const uint8_t addr[16])
{
	return links_has_address(data, addr);
}

static void links_ready(struct loop_source *source, uint32_t events)
{
	struct host_links *h = container_of(source, struct host_links, source);
	int error = links_dispatch(h->links);

	if (error)
		log_warning("changes of interfaces cannot be read: %s", strerror(-error));
}

int host_links_open(struct engine *e, struct loop *loop, struct host_links **ret)
{
	static const struct links_ops ops = { .link = link_changed, .address = address_changed };
	struct host_links *h = calloc(1, sizeof(*h));
	int error;

	if (!h)
		return -ENOMEM;
	h->engine = e;
	h->loop = loop;
	h->source.fd = -1;
	h->source.handler = links_ready;
	error = links_open(&ops, h, &h->links);
	if (!error) {
		h->source.fd = links_fd(h->links);
		error = loop_add(loop, &h->source, EPOLLIN);
	}
	if (error) {
		host_links_close(h);
		return error;
	}
	engine_own_addresses_sweep(e, is_own, h->links);
	*ret = h;
	return 0;
}

void host_links_close(struct host_links *h)
{
	if (!h)
		return;
	loop_remove(h->loop, &h->source);
	links_close(h->links);
	free(h);
}

const char *host_links_interface(const struct host_links *h, size_t i)
{
	return h && i < h->n ? h->interfaces[i].name : NULL;
}
