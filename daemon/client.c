// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/succession.h"

void client_free(struct client *c)
{
	struct control *control = c->control;

	loop_remove(control->loop, &c->source);
	close(c->source.fd);
	TAILQ_REMOVE(&control->clients, c, entry);
	control->n_clients--;
	free(c->output);
	free(c);
}

/* Returns false when the client is gone (and freed). */
static bool client_write(struct client *c)
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
	return true;
}

/* What an older daemon has to say. Returns what is wrong instead, or NULL. */
static const char *client_pass_on(struct client *c)
{
	int error = succession_pass_back(c->control->status.succession, c->source.fd, c->request,
					 c->request_len);

	c->pass_on = false;
	if (error == SUCCESSION_NONE)
		return c->if_none;
	return error ? "an older tcpcryptd cannot be asked" : NULL;
}

bool client_flush(struct client *c)
{
	const char *error;

	if (!client_write(c))
		return false;
	if (c->output_len || c->state != CLIENT_ANSWERED)
		return true;
	error = c->pass_on ? client_pass_on(c) : NULL;
	if (error) {
		client_error(c, error);
		return client_flush(c);
	}
	client_free(c);
	return false;
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

void client_say(struct client *c, json_t *o)
{
	size_t len = o ? json_dumpb(o, NULL, 0, JSON_COMPACT) : 0;

	if (len && output_reserve(c, len + 1)) {
		json_dumpb(o, c->output + c->output_len, len, JSON_COMPACT);
		c->output_len += len;
		c->output[c->output_len++] = '\n';
	}
	json_decref(o);
}

void client_error(struct client *c, const char *text)
{
	client_say(c, json_pack("{s:s}", "error", text));
	c->state = CLIENT_ANSWERED;
}
