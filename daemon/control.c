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

#include "daemon/address.h"
#include "daemon/clock.h"
#include "daemon/confine.h"
#include "daemon/container.h"
#include "daemon/flow.h"
#include "daemon/inproc_channel.h"
#include "daemon/json.h"
#include "daemon/log.h"
#include "daemon/news.h"
#include "daemon/request.h"
#include "daemon/resumption.h"
#include "daemon/succession.h"
#include "daemon/survey.h"
#include "daemon/visitor.h"

#define VERIFY_SECONDS	10
#define REQUEST_SECONDS 10
#define COUNTS_SECONDS	1
#define READ_SECONDS	60 /* for an answer; who is not trusted has no more */
#define ACCEPT_BUDGET	64

/* A watcher that does not read is dropped when so much waits for it. */
#define OUTPUT_MAX (1 << 20)

/* What may wait for somebody who is not trusted: some ten thousand connections. */
#define OUTPUT_OTHERS_MAX (8 << 20)

enum client_state {
	CLIENT_EXPECT_REQUEST,
	CLIENT_EXPECT_KEYS,   /* verify: the connection is still negotiating */
	CLIENT_EXPECT_REKEY,  /* verify: the other end's key update */
	CLIENT_EXPECT_COUNTS, /* list: programs' word about what they have carried */
	CLIENT_WATCHING,
	CLIENT_ANSWERED, /* closes when all is written */
};

struct client {
	TAILQ_ENTRY(client) entry;
	struct loop_source source;
	struct control *control;
	struct visitor visitor;
	enum client_state state;
	char request[REQUEST_MAX];
	size_t request_len;
	bool recent;  /* list */
	bool pass_on; /* when all is written: an older daemon may have more to say */
	char *output;
	size_t output_start, output_len, output_size;
	/* verify */
	uint64_t record_id;
	uint64_t generation; /* of keys: of this or a later one the update proves the peer */
	double began, deadline;
};

TAILQ_HEAD(client_list, client);

struct control {
	struct workers *workers;
	struct loop *loop;
	struct news *news;
	struct control_status status;
	struct loop_source listener;
	struct loop_source counted; /* who were asked what they carried have answered */
	struct client_list clients;
	size_t n_clients;
	bool serves; /* the listener is not another daemon's */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	int dir_fd; /* of the run directory, which may be out of reach by its path later */
};

static void client_free(struct client *c)
{
	struct control *control = c->control;

	loop_remove(control->loop, &c->source);
	close(c->source.fd);
	TAILQ_REMOVE(&control->clients, c, entry);
	control->n_clients--;
	free(c->output);
	free(c);
}

/* Writes what can be written. Returns false when the client is gone (and freed). */
static bool client_flush(struct client *c)
{
	while (c->output_start < c->output_len) {
		ssize_t n = send(c->source.fd, c->output + c->output_start,
				 c->output_len - c->output_start, MSG_NOSIGNAL);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return true;
		if (n < 0) {
			client_free(c);
			return false;
		}
		c->output_start += n;
	}
	c->output_start = c->output_len = 0;
	if (c->state == CLIENT_ANSWERED) {
		if (c->pass_on)
			succession_pass(c->control->status.succession, false, c->source.fd,
					c->request, c->request_len);
		client_free(c);
		return false;
	}
	return true;
}

static bool output_reserve(struct client *c, size_t len)
{
	size_t size = c->output_size ? c->output_size : 4096;
	char *grown;

	if (c->output_start) {
		memmove(c->output, c->output + c->output_start, c->output_len - c->output_start);
		c->output_len -= c->output_start;
		c->output_start = 0;
	}
	while (size < c->output_len + len)
		size *= 2;
	if (size == c->output_size)
		return true;
	grown = realloc(c->output, size);
	if (!grown)
		return false;
	c->output = grown;
	c->output_size = size;
	return true;
}

/* Appends one object as a line; takes the reference. */
static void client_say(struct client *c, json_t *o)
{
	size_t len = o ? json_dumpb(o, NULL, 0, JSON_COMPACT) : 0;

	if (len && output_reserve(c, len + 1)) {
		json_dumpb(o, c->output + c->output_len, len, JSON_COMPACT);
		c->output_len += len;
		c->output[c->output_len++] = '\n';
	}
	json_decref(o);
}

static void client_error(struct client *c, const char *text)
{
	client_say(c, json_pack("{s:s}", "error", text));
	c->state = CLIENT_ANSWERED;
}

/* Older daemons, and how many connections they still have. */
static json_t *ending(const struct control *control)
{
	const struct elder *e;
	json_t *all = json_array();

	for (size_t i = 0; (e = succession_elder(control->status.succession, i)); i++) {
		size_t n = engine_flows(control->status.engine, e->first_slot, e->n_slots);

		json_array_append_new(all, json_pack("{s:i, s:I}", "pid", (int)e->pid,
						     "connections", (json_int_t)n));
	}
	return all;
}

static bool has_elders(const struct client *c)
{
	return succession_count(c->control->status.succession) > 0;
}

static void do_status(struct client *c, const struct request *request)
{
	struct control *control = c->control;
	struct survey_totals totals;
	json_t *o;

	survey_totals(control->workers, &totals);
	o = json_of_status(&totals, control->workers->n, &control->status);
	json_object_set_new(o, "resumable",
			    json_integer(resumption_count(control->status.resumption) +
					 inproc_cache_count(control->status.inproc->cache)));
	json_object_set_new(o, "sandbox", confine_json(control->status.confinement));
	json_object_set_new(o, "ending", ending(control));
	client_say(c, o);
	c->state = CLIENT_ANSWERED;
}

/* false: it would be too much. */
static bool list_one(struct client *c, const struct record *r)
{
	if (!c->visitor.trusted && c->output_len > OUTPUT_OTHERS_MAX)
		return false;
	client_say(c, json_of_record(r));
	return true;
}

static void list(struct client *c)
{
	struct survey_records found;
	bool all = true;

	if (survey_records(c->control->workers, &c->visitor, c->recent, &found)) {
		client_error(c, "out of memory");
		return;
	}
	for (size_t i = 0; i < found.n; i++)
		all = all && list_one(c, &found.records[i]);
	free(found.records);
	c->state = CLIENT_ANSWERED;
	c->pass_on = all && has_elders(c);
	if (!all)
		client_error(c, "there are more connections than one answer may hold");
}

static void do_list(struct client *c, const struct request *request)
{
	c->recent = request->recent;
	if (!inproc_channel_ask(c->control->status.inproc, &c->visitor)) {
		list(c);
		return;
	}
	c->state = CLIENT_EXPECT_COUNTS;
	c->deadline = loop_now(c->control->loop) + COUNTS_SECONDS;
}

/* All that were asked have answered, or need not any more. */
static void list_counted(struct control *control)
{
	struct client *c, *next;

	for (c = TAILQ_FIRST(&control->clients); c; c = next) {
		next = TAILQ_NEXT(c, entry);
		if (c->state != CLIENT_EXPECT_COUNTS)
			continue;
		list(c);
		c->deadline = loop_now(control->loop) + READ_SECONDS;
		client_flush(c);
	}
}

static void counted(struct loop_source *source, uint32_t events)
{
	struct control *control = container_of(source, struct control, counted);
	eventfd_t n;

	if (!eventfd_read(source->fd, &n))
		list_counted(control);
}

static void do_watch(struct client *c, const struct request *request)
{
	client_say(c, json_of_event("watching", clock_wall(), NULL));
	c->state = CLIENT_WATCHING;
	news_want(c->control->news, true);
}

static void do_flush(struct client *c, const struct request *request)
{
	resumption_flush(c->control->status.resumption);
	inproc_channel_flush(c->control->status.inproc);
	if (engine_forget_plain(c->control->status.engine)) {
		client_error(c, "the learned destinations could not be forgotten");
		return;
	}
	client_say(c, json_pack("{s:b}", "flushed", true));
	c->state = CLIENT_ANSWERED;
}

/* verify: the answer, with what is known of the connection now. */
static void verify_answer(struct client *c, const struct record *r, bool confirmed)
{
	json_t *o = json_of_record(r);

	json_object_set_new(o, "peer_confirmed", json_boolean(confirmed));
	json_object_set_new(o, "round_trip_ms",
			    confirmed ? json_real((clock_monotonic() - c->began) * 1000)
				      : json_null());
	client_say(c, o);
	c->state = CLIENT_ANSWERED;
}

/* A question about one flow, and what its worker says. */
struct verification {
	struct worker *worker;
	const struct visitor *visitor;
	const struct request *ends; /* or NULL: the flow with the id of the record */
	bool found;
	bool asked;   /* a key update is under way, */
	double began; /* since then */
	struct record record;
};

static void verify_ask(void *data)
{
	struct verification *v = data;
	struct flow *f = v->ends ? flow_find(v->worker, &v->ends->local, &v->ends->peer)
				 : flow_find_id(v->worker, v->record.id);

	if (!f || !visitor_may_see(v->visitor, &f->record))
		return;
	v->found = true;
	/* One that is under way already proves as much when it is answered. */
	v->asked = f->record.state != RECORD_NEGOTIATING && flow_rekey(f) >= 0;
	v->began = clock_monotonic();
	flow_record_update(f);
	v->record = f->record;
}

static void verify_go_on(struct client *c, const struct verification *v)
{
	c->record_id = v->record.id;
	c->generation = v->record.rekeys;
	if (v->record.state == RECORD_NEGOTIATING) {
		c->state = CLIENT_EXPECT_KEYS;
	} else if (v->asked) {
		c->began = v->began;
		c->state = CLIENT_EXPECT_REKEY;
	} else {
		verify_answer(c, &v->record, false);
	}
}

static void do_verify(struct client *c, const struct request *request)
{
	struct workers *ws = c->control->workers;
	struct verification v = { .visitor = &c->visitor, .ends = request };

	/* Before anything can happen to the flow. */
	news_want(c->control->news, true);
	for (unsigned int i = 0; !v.found && i < ws->n; i++) {
		v.worker = &ws->all[i];
		worker_call(v.worker, verify_ask, &v);
	}
	if (!v.found && has_elders(c)) {
		c->state = CLIENT_ANSWERED;
		c->pass_on = true;
		return;
	}
	if (!v.found) {
		client_error(c, "no such connection: not found among those of this daemon");
		return;
	}
	c->deadline = loop_now(c->control->loop) + VERIFY_SECONDS;
	verify_go_on(c, &v);
}

/* The connection that the client waits for has its keys. */
static void verify_established(struct client *c)
{
	struct verification v = { .worker = workers_of_flow(c->control->workers, c->record_id),
				  .visitor = &c->visitor,
				  .record.id = c->record_id };

	worker_call(v.worker, verify_ask, &v);
	/* Otherwise it has ended, and that is the next that is heard of it. */
	if (v.found)
		verify_go_on(c, &v);
}

static void do_upgrade(struct client *c, const struct request *request)
{
	const char *error = succession_offer(c->control->status.succession, c->source.fd,
					     request->layout);

	if (error)
		client_error(c, error);
	c->state = CLIENT_ANSWERED;
}

static void (*const commands[REQUEST_N_COMMANDS])(struct client *, const struct request *) = {
	[REQUEST_STATUS] = do_status, [REQUEST_LIST] = do_list,	  [REQUEST_WATCH] = do_watch,
	[REQUEST_VERIFY] = do_verify, [REQUEST_FLUSH] = do_flush, [REQUEST_UPGRADE] = do_upgrade,
};

static void client_request(struct client *c, size_t len)
{
	struct request request;
	const char *error = request_read(c->request, len, &request);

	c->request_len = len;
	if (error)
		client_error(c, error);
	else if ((request.command == REQUEST_FLUSH && !c->visitor.trusted) ||
		 (request.command == REQUEST_UPGRADE && c->visitor.uid != 0))
		client_error(c, "only root may do that");
	else
		commands[request.command](c, &request);
	if (c->state == CLIENT_ANSWERED)
		c->deadline = loop_now(c->control->loop) + READ_SECONDS;
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
	/* A client that has asked may close its half and still gets its answer. */
	if ((n == 0 && (events & EPOLLHUP || c->state == CLIENT_EXPECT_REQUEST)) ||
	    (n < 0 && errno != EAGAIN && errno != EINTR)) {
		client_free(c);
		return;
	}
	if (n > 0 && c->state == CLIENT_EXPECT_REQUEST) {
		c->request_len += n;
		newline = memchr(c->request, '\n', c->request_len);
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

/* A verification goes on, or ends, with what happens to its connection. */
static void verify_event(struct client *c, enum ledger_event event, const struct record *r)
{
	if (c->record_id != r->id)
		return;
	switch (event) {
	case LEDGER_ESTABLISHED:
		if (c->state == CLIENT_EXPECT_KEYS)
			verify_established(c);
		break;
	case LEDGER_REKEYED:
		if (c->state == CLIENT_EXPECT_REKEY && r->rekeys >= c->generation)
			verify_answer(c, r, true);
		break;
	case LEDGER_PLAIN:
	case LEDGER_FAILED:
	case LEDGER_CLOSED:
		verify_answer(c, r, false);
		break;
	}
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
			verify_event(c, event, r);
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
		list_counted(control);
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
	/* Those that waited while descriptors were short, or others too many. */
	accept_all(control);
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
		    succession_pass(control->status.succession, true, c->source.fd, c->request,
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
