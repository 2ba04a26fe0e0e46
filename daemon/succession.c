// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/succession.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/container.h"
#include "daemon/control.h"
#include "daemon/log.h"
#include "daemon/parcel.h"
#include "daemon/request.h"
#include "layout.h"

#define KIND "daemon"

#define ANSWER_SECONDS 10
#define OFFER_SECONDS  60 /* to load programs on a slow machine */

#define REPLY_MAX 16384

void succession_init(struct succession *s, const struct succession_ops *ops, void *data)
{
	memset(s, 0, sizeof(*s));
	s->ops = ops;
	s->data = data;
	s->heir.fd = -1;
	for (size_t i = 0; i < SUCCESSION_ELDERS_MAX; i++) {
		s->elders[i].channel.fd = -1;
		s->elders[i].succession = s;
	}
}

size_t succession_count(const struct succession *s)
{
	size_t n = 0;

	while (n < SUCCESSION_ELDERS_MAX && s->elders[n].channel.fd >= 0)
		n++;
	return n;
}

const struct elder *succession_elder(const struct succession *s, size_t i)
{
	return i < succession_count(s) ? &s->elders[i] : NULL;
}

bool succession_in_use(void *succession, unsigned int slot)
{
	const struct succession *s = succession;

	for (size_t i = 0; i < succession_count(s); i++)
		if (slot - s->elders[i].first_slot < s->elders[i].n_slots)
			return true;
	return false;
}

/* ---- the new one ---- */

static int control_connect(const char *run_dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	const struct timeval patience = { .tv_sec = ANSWER_SECONDS };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int error;

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if ((size_t)snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/%s", run_dir,
			     CONTROL_SOCKET_NAME) >= sizeof(sun.sun_path))
		error = -ENAMETOOLONG;
	else
		error = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) ? -errno : 0;
	if (error) {
		close(fd);
		return error;
	}
	return fd;
}

/* What the service manager has told the old one. */
static const char *const environment[] = { "NOTIFY_SOCKET", "JOURNAL_STREAM" };

#define ENVIRONMENT_N (sizeof(environment) / sizeof(environment[0]))

static void environment_read(const json_t *reply)
{
	for (size_t i = 0; i < ENVIRONMENT_N; i++) {
		const char *value = json_string_value(json_object_get(reply, environment[i]));

		if (value)
			setenv(environment[i], value, 1);
	}
}

static void environment_write(json_t *reply)
{
	for (size_t i = 0; i < ENVIRONMENT_N; i++)
		if (getenv(environment[i]))
			json_object_set_new(reply, environment[i],
					    json_string(getenv(environment[i])));
}

/* What the old one says goes with the descriptors. */
static int reply_read(const char *text, size_t len, const int *fds, size_t n_fds,
		      struct heritage *ret)
{
	json_t *reply = json_loadb(text, len, 0, NULL);
	const char *error = json_string_value(json_object_get(reply, "error"));
	const json_t *names = json_object_get(reply, "names");
	bool good = !error && json_array_size(names) == n_fds && n_fds && n_fds <= HERITAGE_MAX;

	if (error)
		log_error("the running tcpcryptd cannot be replaced in place: %s", error);
	for (size_t i = 0; good && i < n_fds; i++) {
		const char *name = json_string_value(json_array_get(names, i));

		good = name && snprintf(ret->item[i].name, HERITAGE_NAME_MAX, "%s", name) <
				       HERITAGE_NAME_MAX;
		ret->item[i].fd = fds[i];
		ret->n = i + 1;
	}
	environment_read(reply);
	json_decref(reply);
	if (!good && !error)
		log_error("the running tcpcryptd gave no answer that is understood");
	return good ? 0 : -EPROTO;
}

int succession_ask(const char *run_dir, struct heritage *ret)
{
	static const char request[] = "{\"command\":\"upgrade\",\"layout\":\"" SHARED_LAYOUT
				      "\"}\n";
	int fds[PARCEL_FDS_MAX];
	size_t n_fds = PARCEL_FDS_MAX, len = 0;
	char reply[REPLY_MAX];
	int fd = control_connect(run_dir);
	ssize_t n = fd;
	int error;

	ret->n = 0;
	if (fd < 0) {
		log_error("no tcpcryptd that could be replaced answers in %s: %s", run_dir,
			  strerror(-fd));
		return fd;
	}
	error = parcel_send(fd, request, sizeof(request) - 1, NULL, 0);
	if (!error) {
		n = parcel_receive(fd, reply, sizeof(reply), fds, &n_fds);
		len = n > 0 ? n : 0;
	}
	/* It comes in one piece with descriptors, an error may come in several. */
	while (len && len < sizeof(reply) && reply[len - 1] != '\n' &&
	       (n = recv(fd, reply + len, sizeof(reply) - len, 0)) > 0)
		len += n;
	close(fd);
	if (error)
		return error;
	error = reply_read(reply, len, fds, len ? n_fds : 0, ret);
	if (error)
		heritage_close(ret);
	return error;
}

int succession_inherit(struct succession *s, struct heritage *from)
{
	size_t n = 0;

	for (size_t i = 0; i < from->n; i++) {
		struct elder *e = &s->elders[n];

		if (strncmp(from->item[i].name, KIND " ", sizeof(KIND)))
			continue;
		if (n == SUCCESSION_ELDERS_MAX)
			return -E2BIG;
		if (sscanf(from->item[i].name, KIND " %d %u %u", &e->pid, &e->first_slot,
			   &e->n_slots) != 3)
			return -EPROTO;
		e->channel.fd = from->item[i].fd;
		from->item[i].fd = -1;
		n++;
	}
	return n ? 0 : -EPROTO;
}

int succession_take(struct succession *s)
{
	struct pollfd pfd = { .fd = s->elders[0].channel.fd, .events = POLLIN };
	char message[64];
	int n = snprintf(message, sizeof(message), "take %d %u %u", (int)getpid(), s->first_slot,
			 s->n_slots);
	int error = parcel_send(pfd.fd, message, n, NULL, 0);

	if (error)
		return error;
	if (poll(&pfd, 1, ANSWER_SECONDS * 1000) <= 0)
		return -ETIMEDOUT;
	n = (int)recv(pfd.fd, message, sizeof(message), 0);
	return n == 5 && !memcmp(message, "given", 5) ? 0 : -ECONNRESET;
}

/* ---- older ones ---- */

static void elder_forget(struct elder *e)
{
	struct succession *s = e->succession;
	size_t i = e - s->elders;

	loop_remove(s->loop, &e->channel);
	close(e->channel.fd);
	/* The sources move: those behind are added anew. */
	for (; i + 1 < SUCCESSION_ELDERS_MAX && s->elders[i + 1].channel.fd >= 0; i++) {
		loop_remove(s->loop, &s->elders[i + 1].channel);
		s->elders[i] = s->elders[i + 1];
		loop_add(s->loop, &s->elders[i].channel, EPOLLIN);
	}
	s->elders[i].channel.fd = -1;
}

/* To whoever serves go those whom an older one has sent: its channel is the next one's, too. */
static void client_take(struct succession *s, bool from_elder, int fd, const char *request,
			size_t len)
{
	if (from_elder && !succession_pass_on(s, fd, request, len))
		close(fd);
	else
		s->ops->client(s->data, fd, request, len);
}

/* A client that comes along with its request. Returns false when the channel has ended. */
static bool client_receive(struct succession *s, int channel, char *message, size_t size,
			   size_t *ret_len)
{
	int fd = -1;
	size_t n_fds = 1;
	ssize_t n = parcel_receive(channel, message, size, &fd, &n_fds);

	*ret_len = 0;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return false;
	if (n_fds && message[0] == '{')
		client_take(s, channel != s->heir.fd, fd, message, n);
	else if (n_fds)
		close(fd);
	else
		*ret_len = n;
	return true;
}

static void elder_ready(struct loop_source *source, uint32_t events)
{
	struct elder *e = container_of(source, struct elder, channel);
	struct succession *s = e->succession;
	char message[REQUEST_MAX];
	size_t len;

	if (client_receive(s, source->fd, message, sizeof(message), &len))
		return;
	log_info("tcpcryptd %d, which this one replaced, has ended", (int)e->pid);
	elder_forget(e);
	if (s->state == SUCCESSION_SERVES)
		s->ops->sweep(s->data);
}

int succession_open(struct succession *s, struct loop *loop, unsigned int first_slot,
		    unsigned int n_slots)
{
	int error = 0;

	s->loop = loop;
	s->first_slot = first_slot;
	s->n_slots = n_slots;
	for (size_t i = 0; !error && i < succession_count(s); i++) {
		s->elders[i].channel.handler = elder_ready;
		error = loop_add(loop, &s->elders[i].channel, EPOLLIN);
	}
	return error;
}

static void heir_close(struct succession *s)
{
	if (s->heir.fd < 0)
		return;
	loop_remove(s->loop, &s->heir);
	close(s->heir.fd);
	s->heir.fd = -1;
}

void succession_close(struct succession *s)
{
	heir_close(s);
	for (size_t n = succession_count(s); n; n--) {
		if (s->loop)
			loop_remove(s->loop, &s->elders[n - 1].channel);
		close(s->elders[n - 1].channel.fd);
		s->elders[n - 1].channel.fd = -1;
	}
}

int succession_pass_back(struct succession *s, int fd, const char *request, size_t len)
{
	for (size_t i = 0; i < succession_count(s); i++) {
		int error = parcel_send(s->elders[i].channel.fd, request, len, &fd, 1);

		/* One that ends takes no more and has no connections. */
		if (error != -EPIPE && error != -ECONNRESET)
			return error;
	}
	return SUCCESSION_NONE;
}

int succession_pass_on(struct succession *s, int fd, const char *request, size_t len)
{
	if (s->heir.fd < 0 || s->state < SUCCESSION_YIELDED)
		return SUCCESSION_NONE;
	return parcel_send(s->heir.fd, request, len, &fd, 1);
}

void succession_stop(struct succession *s)
{
	for (size_t i = 0; i < succession_count(s); i++)
		parcel_send(s->elders[i].channel.fd, "stop", 4, NULL, 0);
}

/* ---- the old one ---- */

static void heir_gone(struct succession *s)
{
	enum succession_state before = s->state;

	heir_close(s);
	s->state = SUCCESSION_SERVES;
	if (before >= SUCCESSION_YIELDED) {
		s->ops->take_back(s->data);
		log_warning("the tcpcryptd that replaced this one is gone: taking connections "
			    "again");
	} else {
		log_warning("the tcpcryptd that was to replace this one is gone");
	}
	s->ops->sweep(s->data);
}

bool succession_retire(struct succession *s)
{
	if (s->heir.fd >= 0 && s->state == SUCCESSION_YIELDED) {
		shutdown(s->heir.fd, SHUT_RD);
		s->state = SUCCESSION_RETIRES;
	}
	return s->state != SUCCESSION_RETIRES;
}

/* The channel stays open: its end is this process's; and that it hangs up is still to be known. */
static void heir_all_came(struct succession *s)
{
	loop_remove(s->loop, &s->heir);
	if (loop_add(s->loop, &s->heir, 0))
		log_warning("the tcpcryptd that replaced this one is not watched any more");
	s->state = SUCCESSION_RETIRED;
}

static void heir_message(struct succession *s, const char *message)
{
	unsigned int first, n;
	int pid;

	if (s->state == SUCCESSION_OFFERS &&
	    sscanf(message, "take %d %u %u", &pid, &first, &n) == 3) {
		s->state = SUCCESSION_YIELDED;
		s->ops->yield(s->data, pid);
		parcel_send(s->heir.fd, "given", 5, NULL, 0);
		s->ops->yielded(s->data);
	} else if (s->state == SUCCESSION_YIELDED && !strcmp(message, "stop")) {
		/* Nothing is to be taken back any more. */
		heir_close(s);
		s->ops->stop(s->data);
	}
}

static void heir_ready(struct loop_source *source, uint32_t events)
{
	struct succession *s = container_of(source, struct succession, heir);
	char message[REQUEST_MAX + 1];
	size_t len;

	if (!client_receive(s, source->fd, message, REQUEST_MAX, &len)) {
		if (s->state == SUCCESSION_RETIRES && !(events & EPOLLHUP))
			heir_all_came(s);
		else
			heir_gone(s);
	} else if (len) {
		message[len] = '\0';
		heir_message(s, message);
	}
}

static int channels_bequeath(const struct succession *s, int own, struct heritage *to)
{
	char name[HERITAGE_NAME_MAX];
	int error;

	snprintf(name, sizeof(name), "%d %u %u", (int)getpid(), s->first_slot, s->n_slots);
	error = heritage_add(to, KIND, name, own);
	for (size_t i = 0; !error && i < succession_count(s); i++) {
		const struct elder *e = &s->elders[i];

		snprintf(name, sizeof(name), "%d %u %u", (int)e->pid, e->first_slot, e->n_slots);
		error = heritage_add(to, KIND, name, e->channel.fd);
	}
	return error;
}

static int heritage_send(int fd, const struct heritage *h)
{
	json_t *names = json_array();
	int fds[HERITAGE_MAX];
	char text[REPLY_MAX];
	json_t *reply;
	size_t len;

	for (size_t i = 0; i < h->n; i++) {
		json_array_append_new(names, json_string(h->item[i].name));
		fds[i] = h->item[i].fd;
	}
	reply = json_pack("{s:o}", "names", names);
	environment_write(reply);
	len = reply ? json_dumpb(reply, text, sizeof(text) - 1, JSON_COMPACT) : 0;
	json_decref(reply);
	if (!len || len >= sizeof(text))
		return -ENOMEM;
	text[len++] = '\n';
	return parcel_send(fd, text, len, fds, h->n);
}

const char *succession_offer(struct succession *s, int client_fd, const char *layout)
{
	struct heritage h = { .n = 0 };
	int ends[2];
	int error;

	if (strcmp(layout, SHARED_LAYOUT))
		return "its BPF maps are not laid out as this version's; stop it and start the new "
		       "one instead";
	if (s->state != SUCCESSION_SERVES)
		return "another upgrade is under way";
	if (succession_count(s) + 1 >= SUCCESSION_ELDERS_MAX)
		return "too many older ones still have connections";
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends))
		return "it has no descriptor left";
	error = channels_bequeath(s, ends[1], &h);
	if (!error)
		error = s->ops->bequeath(s->data, &h);
	if (!error)
		error = heritage_send(client_fd, &h);
	close(ends[1]);
	s->heir.fd = ends[0];
	s->heir.handler = heir_ready;
	if (!error)
		error = loop_add(s->loop, &s->heir, EPOLLIN);
	if (error) {
		heir_close(s);
		log_error("an upgrade failed: %s", strerror(-error));
		return "it could not hand over its descriptors";
	}
	s->state = SUCCESSION_OFFERS;
	s->deadline = loop_now(s->loop) + OFFER_SECONDS;
	return NULL;
}

void succession_tick(struct succession *s)
{
	if (s->state == SUCCESSION_OFFERS && loop_now(s->loop) > s->deadline)
		heir_gone(s);
}
