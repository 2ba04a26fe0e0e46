/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sends back what it receives, to many clients at once and without waiting for any of them.
 * usage: echo-server [-r] ADDRESS PORT
 * -r: only to those with whom the connection is encrypted.
 */
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpcrypt/socket.h>

#define CLIENTS_MAX 256

struct client {
	struct tcpcrypt_socket *socket; /* NULL: nobody */
	bool described;
	bool ending;	   /* it has sent its last, and so have we */
	size_t start, end; /* of what is to be sent back */
	char buffer[16384];
};

static struct client clients[CLIENTS_MAX];

static void die(const char *what, int error)
{
	fprintf(stderr, "echo-server: %s: %s (%s)\n", what, tcpcrypt_error_name(error),
		strerror(errno));
	exit(EXIT_FAILURE);
}

static struct tcpcrypt_socket *listen_at(const char *address, const char *port, bool require)
{
	const struct tcpcrypt_socket_params params = { .size = sizeof(params), .require = require };
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct tcpcrypt_socket *s;
	struct addrinfo *found;
	int fd, one = 1, error = getaddrinfo(address, port, &hints, &found);

	if (error) {
		fprintf(stderr, "echo-server: %s: %s\n", address, gai_strerror(error));
		exit(EXIT_FAILURE);
	}
	fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, found->ai_addr, found->ai_addrlen))
		die(port, TCPCRYPT_E_SYSTEM);
	freeaddrinfo(found);
	s = tcpcrypt_socket_new(fd, &params, &error);
	if (s)
		error = tcpcrypt_socket_listen(s, SOMAXCONN);
	if (error)
		die("listen", error);
	return s;
}

static void client_begin(struct client *c, struct tcpcrypt_socket *s)
{
	c->socket = s;
	c->described = c->ending = false;
	c->start = c->end = 0;
}

/* As many as there is room for; the others wait in the kernel. */
static void accept_all(struct tcpcrypt_socket *listener)
{
	struct tcpcrypt_socket *s;
	int r = 0;

	for (struct client *c = clients; !r && c < clients + CLIENTS_MAX; c++) {
		if (c->socket)
			continue;
		r = tcpcrypt_socket_accept(listener, NULL, NULL, SOCK_NONBLOCK, &s);
		if (r < 0)
			die("accept", r);
		if (r == 0)
			client_begin(c, s);
	}
}

/* Once it is known. */
static void describe(struct client *c)
{
	struct tcpcrypt_socket_info info = { .size = sizeof(info) };

	tcpcrypt_socket_info(c->socket, &info);
	if (info.state == TCPCRYPT_SOCKET_PLAIN)
		printf("plain: %s\n", tcpcrypt_eno_reason_name(info.reason));
	else if (info.session_id)
		printf("encrypted: ");
	for (int i = 0; info.session_id && i < TCPCRYPT_SESSION_ID_LEN; i++)
		printf("%02x%s", info.session_id[i], i + 1 < TCPCRYPT_SESSION_ID_LEN ? "" : "\n");
	fflush(stdout);
	c->described = true;
}

/* A step; 0: another one may follow at once. */
static int step(struct client *c)
{
	size_t n;
	int r;

	if (!c->described) {
		r = tcpcrypt_socket_handshake(c->socket);
		if (r)
			return r;
		describe(c);
	}
	if (c->start < c->end) {
		r = tcpcrypt_socket_write(c->socket, c->buffer + c->start, c->end - c->start, &n);
		if (!r)
			c->start += n;
		return r;
	}
	if (!c->ending) {
		r = tcpcrypt_socket_read(c->socket, c->buffer, sizeof(c->buffer), &n);
		if (!r) {
			c->start = 0;
			c->end = n;
		}
		if (r != TCPCRYPT_EOF)
			return r;
		c->ending = true;
	}
	r = tcpcrypt_socket_close(c->socket);
	if (r != TCPCRYPT_AGAIN)
		c->socket = NULL;
	return r ? r : TCPCRYPT_EOF;
}

static void serve(struct client *c)
{
	int r;

	while (!(r = step(c)))
		;
	if (r < 0) {
		printf("failed: %s\n", tcpcrypt_error_name(r));
		fflush(stdout);
		tcpcrypt_socket_free(c->socket);
		c->socket = NULL;
	}
}

static short events_of(const struct client *c)
{
	short wanted = 0;

	/* Nothing is read before what was read last has been sent. */
	if (!c->ending)
		wanted = c->start < c->end ? POLLOUT : POLLIN;
	return tcpcrypt_socket_events(c->socket, wanted);
}

int main(int argc, char **argv)
{
	const bool require = argc > 1 && !strcmp(argv[1], "-r");
	struct pollfd polled[CLIENTS_MAX + 1];
	struct tcpcrypt_socket *listener;

	if (argc - require != 3) {
		fprintf(stderr, "usage: echo-server [-r] ADDRESS PORT\n");
		return 2;
	}
	listener = listen_at(argv[1 + require], argv[2 + require], require);
	for (;;) {
		bool room = false;

		for (int i = 0; i < CLIENTS_MAX; i++) {
			struct client *c = &clients[i];

			polled[i] = (struct pollfd){ .fd = -1 };
			if (c->socket)
				polled[i] = (struct pollfd){ tcpcrypt_socket_fd(c->socket),
							     events_of(c), 0 };
			else
				room = true;
		}
		polled[CLIENTS_MAX] = (struct pollfd){ room ? tcpcrypt_socket_fd(listener) : -1,
						       POLLIN, 0 };
		if (poll(polled, CLIENTS_MAX + 1, -1) < 0)
			die("poll", TCPCRYPT_E_SYSTEM);
		for (int i = 0; i < CLIENTS_MAX; i++)
			if (polled[i].revents)
				serve(&clients[i]);
		if (polled[CLIENTS_MAX].revents)
			accept_all(listener);
	}
}
