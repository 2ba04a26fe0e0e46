/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include "deadline.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define READ_SIZE 65536u

struct control {
	int fd;
	int signal_fd; /* -1: not watched */
	int output_fd; /* -1: not watched */
	int64_t deadline;
	bool ended;

	/* Bytes not yet handed out are [start, end); those before scanned hold no newline. */
	char *buffer;
	size_t size;
	size_t start;
	size_t scanned;
	size_t end;

	json_t *object; /* of the line that the caller has */
};

/*
 * Connecting to, or writing into, a UNIX socket blocks while a daemon that hangs
 * does not take connections from its queue.
 */
static int limit_sending(int fd, int64_t deadline)
{
	int left = deadline_left(deadline);
	struct timeval limit = { .tv_sec = left / 1000, .tv_usec = left % 1000 * 1000 };

	if (left < 0)
		return 0;
	if (left == 0)
		return -ETIMEDOUT; /* a limit of zero would mean none */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	return 0;
}

static int connect_socket(int fd, const char *run_dir)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int len;

	len = snprintf(address.sun_path, sizeof(address.sun_path), "%s/" CONTROL_SOCKET, run_dir);
	if (len < 0 || (size_t)len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
		return errno == EAGAIN ? -ETIMEDOUT : -errno;
	return 0;
}

int control_open(const char *run_dir, int64_t deadline, struct control **ret)
{
	struct control *control;
	int error;

	control = calloc(1, sizeof(*control));
	if (!control)
		return -ENOMEM;
	control->signal_fd = -1;
	control->output_fd = -1;
	control->deadline = deadline;
	control->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	error = control->fd < 0 ? -errno : 0;
	if (!error)
		error = limit_sending(control->fd, deadline);
	if (!error)
		error = connect_socket(control->fd, run_dir);
	if (error) {
		control_free(control);
		return error;
	}
	*ret = control;
	return 0;
}

static int send_all(int fd, const char *data, size_t len)
{
	ssize_t sent;

	while (len > 0) {
		sent = send(fd, data, len, MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN ? -ETIMEDOUT : -errno;
		data += sent;
		len -= (size_t)sent;
	}
	return 0;
}

int control_send(struct control *control, json_t *request)
{
	char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
	int error;

	json_decref(request);
	if (!text)
		return -ENOMEM;
	error = send_all(control->fd, text, strlen(text));
	if (!error)
		error = send_all(control->fd, "\n", 1);
	free(text);
	/* A daemon that takes no question may have said why. */
	return error == -EPIPE ? 0 : error;
}

void control_watch(struct control *control, int signal_fd, int output_fd)
{
	control->deadline = DEADLINE_NEVER;
	control->signal_fd = signal_fd;
	control->output_fd = output_fd;
}

/* Hands out the next whole line of the buffer; CONTROL_END when there is none yet. */
static int take_line(struct control *control, struct control_line *ret)
{
	char *line;
	char *newline;

	if (control->scanned == control->end)
		return CONTROL_END;
	newline = memchr(control->buffer + control->scanned, '\n', control->end - control->scanned);
	if (!newline) {
		control->scanned = control->end;
		return CONTROL_END;
	}
	line = control->buffer + control->start;
	control->start = control->scanned = (size_t)(newline + 1 - control->buffer);
	control->object = json_loadb(line, (size_t)(newline - line), 0, NULL);
	if (!json_is_object(control->object))
		return -EPROTO;
	ret->text = line;
	ret->len = (size_t)(newline - line);
	ret->object = control->object;
	return 0;
}

/* Makes room for READ_SIZE more bytes behind those that are not handed out. */
static int make_room(struct control *control)
{
	size_t kept = control->end - control->start;
	char *larger;

	if (kept > CONTROL_LINE_MAX)
		return -EMSGSIZE;
	if (control->start > 0) {
		memmove(control->buffer, control->buffer + control->start, kept);
		control->scanned -= control->start;
		control->start = 0;
		control->end = kept;
	}
	if (control->size - kept >= READ_SIZE)
		return 0;
	larger = realloc(control->buffer, 2 * control->size + READ_SIZE);
	if (!larger)
		return -ENOMEM;
	control->buffer = larger;
	control->size = 2 * control->size + READ_SIZE;
	return 0;
}

static int wait_readable(const struct control *control)
{
	struct pollfd polled[] = {
		{ .fd = control->fd, .events = POLLIN },
		{ .fd = control->signal_fd, .events = POLLIN },
		{ .fd = control->output_fd, .events = 0 },
	};
	int n;

	n = poll(polled, sizeof(polled) / sizeof(polled[0]), deadline_left(control->deadline));
	if (n < 0)
		return errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ETIMEDOUT;
	if (polled[1].revents)
		return CONTROL_INTERRUPTED;
	if (polled[2].revents & (POLLERR | POLLHUP))
		return CONTROL_NO_READER;
	return 0;
}

static int read_more(struct control *control)
{
	ssize_t got;

	got = recv(control->fd, control->buffer + control->end, control->size - control->end,
		   MSG_DONTWAIT);
	if (got < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	control->end += (size_t)got;
	control->ended = got == 0;
	return 0;
}

int control_next(struct control *control, struct control_line *ret)
{
	int error;

	json_decref(control->object);
	control->object = NULL;
	for (;;) {
		error = take_line(control, ret);
		if (error != CONTROL_END)
			return error;
		if (control->ended)
			return control->start < control->end ? -ECONNRESET : CONTROL_END;
		error = make_room(control);
		if (!error)
			error = wait_readable(control);
		if (!error)
			error = read_more(control);
		if (error)
			return error;
	}
}

void control_free(struct control *control)
{
	if (!control)
		return;
	json_decref(control->object);
	free(control->buffer);
	if (control->fd >= 0)
		close(control->fd);
	free(control);
}

const char *control_explain(int error)
{
	switch (-error) {
	case EPROTO:
		return "tcpcryptd sent something that is not a JSON object";
	case EMSGSIZE:
		return "tcpcryptd sent a line that is too long";
	case ECONNRESET:
	case EPIPE:
		return "tcpcryptd went away in the middle of an answer";
	case ETIMEDOUT:
		return "tcpcryptd does not answer in time";
	case ENAMETOOLONG:
		return "the name of the run directory is too long for a socket";
	case EACCES:
	case EPERM:
		return "no permission to talk to tcpcryptd; try it as root";
	case ENOTDIR:
		return "the run directory is not a directory";
	default:
		return strerror(-error);
	}
}

bool control_is_absent(int error)
{
	return error == -ENOENT || error == -ECONNREFUSED;
}
