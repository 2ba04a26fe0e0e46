// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/client.h"
#include "daemon/clock.h"
#include "daemon/container.h"
#include "daemon/inproc_channel.h"
#include "daemon/json.h"
#include "daemon/news.h"
#include "daemon/succession.h"
#include "daemon/visitor.h"

#define REQUEST_SECONDS 10
#define ACCEPT_BUDGET	64

/* A watcher that does not read is dropped when so much waits for it. */
#define OUTPUT_MAX (1 << 20)

static void counted(struct loop_source *source, uint32_t events)
{
	struct control *control = container_of(source, struct control, counted);
	eventfd_t n;

	if (!eventfd_read(source->fd, &n))
		commands_counted(control);
}

/* Who connected before another daemon took over, and asks now, is answered by that one. */
static bool client_passed_on(struct client *c, size_t len)
{
	if (c->control->serves ||
	    succession_pass_on(c->control->status.succession, c->source.fd, c->request, len))
		return false;
	client_free(c);
	return true;
}

static void client_ready(struct loop_source *source, uint32_t events)
{
	struct client *c = container_of(source, struct client, source);
	char discard[256];
	char *newline;
	ssize_t n;

	if (c->state == CLIENT_EXPECT_REQUEST)
		n = recv(source->fd, c->request + c->request_len, REQUEST_MAX - c->request_len, 0);
	else
		n = recv(source->fd, discard, sizeof(discard), 0);
	/* A client that has asked may close its half and still gets its answer. Who is gone does not,
	 * whatever else he has said. */
	if ((c->state == CLIENT_EXPECT_REQUEST ? n == 0 : events & EPOLLHUP) ||
	    (n < 0 && errno != EAGAIN && errno != EINTR)) {
		client_free(c);
		return;
	}
	if (n > 0 && c->state == CLIENT_EXPECT_REQUEST) {
		c->request_len += n;
		newline = memchr(c->request, '\n', c->request_len);
		if (newline && client_passed_on(c, newline - c->request))
			return;
		if (newline)
			client_request(c, newline - c->request);
		else if (c->request_len == REQUEST_MAX)
			client_error(c, "the request is too long");
	}
	client_flush(c);
}

static bool has_room(const struct control *control, const struct visitor *visitor)
{
	size_t n_others = 0, n_own = 0;
	const struct client *c;

	TAILQ_FOREACH (c, &control->clients, entry) {
		n_others += !c->visitor.trusted;
		n_own += c->visitor.uid == visitor->uid;
	}
	return visitor_has_room(visitor, control->n_clients, n_others, n_own);
}

static void client_refuse(int fd)
{
	static const char text[] = "{\"error\":\"too many ask at the same time\"}\n";

	send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
}

/* NULL: it was refused. */
static struct client *client_new(struct control *control, int fd)
{
	struct visitor visitor;
	struct client *c;

	visitor_read(fd, &visitor);
	c = has_room(control, &visitor) ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		client_refuse(fd);
		return NULL;
	}
	c->control = control;
	c->visitor = visitor;
	c->source.fd = fd;
	c->source.handler = client_ready;
	if (loop_add(control->loop, &c->source, EPOLLIN | EPOLLOUT | EPOLLET)) {
		close(fd);
		free(c);
		return NULL;
	}
	c->deadline = loop_now(control->loop) + REQUEST_SECONDS;
	TAILQ_INSERT_TAIL(&control->clients, c, entry);
	control->n_clients++;
	return c;
}

void control_client(struct control *control, int fd, const char *request, size_t len)
{
	struct client *c = client_new(control, fd);

	if (!c)
		return;
	if (len > REQUEST_MAX)
		len = REQUEST_MAX;
	memcpy(c->request, request, len);
	c->request_len = len;
	client_request(c, len);
	client_flush(c);
}

static void accept_all(struct control *control)
{
	/* Whoever connects as fast as he is refused must not keep us: the rest is for later. */
	for (int i = 0; control->serves && i < ACCEPT_BUDGET; i++) {
		int fd = accept4(control->listener.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd < 0)
			return;
		client_new(control, fd);
	}
}

static void control_ready(struct loop_source *source, uint32_t events)
{
	accept_all(container_of(source, struct control, listener));
}

static void watch_event(struct client *c, enum ledger_event event, const struct record *r)
{
	static const char *const names[] = {
		[LEDGER_ESTABLISHED] = "established",
		[LEDGER_PLAIN] = "plain",
		[LEDGER_FAILED] = "failed",
		[LEDGER_CLOSED] = "closed",
		[LEDGER_REKEYED] = NULL,
	};

	if (names[event] && visitor_may_see(&c->visitor, r))
		client_say(c, json_of_event(names[event], clock_wall(), r));
}

static void control_event(void *data, enum ledger_event event, const struct record *r)
{
	struct control *control = data;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state == CLIENT_WATCHING)
			watch_event(c, event, r);
		else if (c->state == CLIENT_EXPECT_KEYS || c->state == CLIENT_EXPECT_REKEY)
			commands_verify_event(c, event, r);
		else
			continue;
		if (client_flush(c) && c->output_len - c->output_start > OUTPUT_MAX)
			client_free(c);
	}
}

static bool wants_news(const struct client *c)
{
	return c->state == CLIENT_WATCHING || c->state == CLIENT_EXPECT_KEYS ||
	       c->state == CLIENT_EXPECT_REKEY;
}

/* Those who cannot be told everything are told no more, like those who do not read. */
static void control_lost(void *data)
{
	struct control *control = data;
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (!wants_news(c))
			continue;
		client_error(c, "more happened than could be told");
		client_flush(c);
	}
}

size_t control_clients(const struct control *c)
{
	return c->n_clients;
}

void control_tick(struct control *control)
{
	bool wanted = false, waited = false;
	struct client *c, *next;

	TAILQ_FOREACH (c, &control->clients, entry) {
		wanted |= wants_news(c);
		waited |= c->state == CLIENT_EXPECT_COUNTS &&
			  c->deadline <= loop_now(control->loop);
	}
	news_want(control->news, wanted);
	if (waited) {
		inproc_channel_give_up(control->status.inproc);
		commands_counted(control);
	}
	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->deadline > loop_now(control->loop))
			continue;
		if (c->state == CLIENT_ANSWERED && !c->visitor.trusted) {
			client_free(c);
			continue;
		}
		if (c->state == CLIENT_EXPECT_REQUEST)
			client_error(c, "no request came in time");
		else if (c->state == CLIENT_EXPECT_KEYS || c->state == CLIENT_EXPECT_REKEY)
			client_error(c, "the other end did not answer in time");
		else
			continue;
		client_flush(c);
	}
	/* Those that waited while descriptors were short, or others too many; or whose news did. */
	accept_all(control);
	if (!control->serves)
		control_pass_watchers(control);
}

static int control_listen(struct control *c, const char *run_dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	mode_t mask;
	int error;

	c->dir_fd = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (c->dir_fd < 0)
		return -errno;
	if (c->listener.fd >= 0)
		return 0;
	c->listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->listener.fd < 0) {
		error = -errno;
		close(c->dir_fd);
		return error;
	}
	memcpy(sun.sun_path, c->path, sizeof(sun.sun_path));
	/* The run directory is locked: what stands there is a dead daemon's. */
	unlink(c->path);
	/* For everybody, from birth: what that path leads to later may be another's doing. */
	mask = umask(0111);
	error = bind(c->listener.fd, (struct sockaddr *)&sun, sizeof(sun)) ? -errno : 0;
	umask(mask);
	if (!error && listen(c->listener.fd, 64))
		error = -errno;
	if (error) {
		close(c->listener.fd);
		close(c->dir_fd);
		return error;
	}
	return 0;
}

int control_open(struct workers *ws, struct loop *loop, const char *run_dir, int listener,
		 const struct control_status *status, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	const struct news_reader reader = { control_event, control_lost, c };
	int error;

	if (!c) {
		if (listener >= 0)
			close(listener);
		return -ENOMEM;
	}
	c->workers = ws;
	c->loop = loop;
	c->status = *status;
	TAILQ_INIT(&c->clients);
	c->listener.fd = listener;
	c->listener.handler = control_ready;
	c->counted.fd = status->inproc->answered_fd;
	c->counted.handler = counted;
	if ((size_t)snprintf(c->path, sizeof(c->path), "%s/%s", run_dir, CONTROL_SOCKET_NAME) >=
	    sizeof(c->path))
		error = -ENAMETOOLONG;
	else
		error = control_listen(c, run_dir);
	if (error) {
		free(c);
		return error;
	}
	error = listener < 0 ? control_serve(c) : 0;
	if (!error)
		error = news_open(loop, &reader, &c->news);
	if (!error)
		error = loop_add(loop, &c->counted, EPOLLIN);
	if (error) {
		control_close(c);
		return error;
	}
	workers_set_watcher(ws, news_tell, c->news);
	*ret = c;
	return 0;
}

void control_yield(struct control *c)
{
	loop_remove(c->loop, &c->listener);
	c->serves = false;
}

int control_serve(struct control *c)
{
	c->serves = true;
	return loop_add(c->loop, &c->listener, EPOLLIN | EPOLLET);
}

int control_listener(const struct control *c)
{
	return c->listener.fd;
}

void control_pass_watchers(struct control *control)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state == CLIENT_WATCHING && client_flush(c) && !c->output_len &&
		    !succession_pass_on(control->status.succession, c->source.fd, c->request,
					c->request_len))
			client_free(c);
	}
}

void control_set_state(struct control *c, const char *state)
{
	c->status.state = state;
}

void control_set_key_log(struct control *c, const char *key_log)
{
	c->status.key_log = key_log;
}

void control_set_policy(struct control *c, size_t n_rules, size_t n_required)
{
	c->status.n_rules = n_rules;
	c->status.n_required = n_required;
}

void control_close(struct control *c)
{
	if (!c)
		return;
	if (c->news)
		news_dispatch(c->news);
	workers_set_watcher(c->workers, NULL, NULL);
	news_close(c->news);
	while (!TAILQ_EMPTY(&c->clients))
		client_free(TAILQ_FIRST(&c->clients));
	loop_remove(c->loop, &c->counted);
	loop_remove(c->loop, &c->listener);
	close(c->listener.fd);
	if (c->serves)
		unlinkat(c->dir_fd, CONTROL_SOCKET_NAME, 0);
	close(c->dir_fd);
	free(c);
}
