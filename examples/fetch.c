/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetches a page by HTTP, encrypted if the server's host is willing, and says whether it was.
 * usage: fetch [-r] HOST PORT PATH
 * -r: not at all, rather than in plain.
 */
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tcpcrypt/socket.h>
#include <unistd.h>

static void die(const char *what, int error)
{
	fprintf(stderr, "fetch: %s: %s (%s)\n", what, tcpcrypt_error_name(error), strerror(errno));
	exit(EXIT_FAILURE);
}

/* Connects to the first address that answers. */
static struct tcpcrypt_socket *connect_to(const char *host, const char *port, bool require)
{
	const struct tcpcrypt_socket_params params = { .size = sizeof(params), .require = require };
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct tcpcrypt_socket *s = NULL;
	struct addrinfo *found, *at;
	int error = getaddrinfo(host, port, &hints, &found);

	if (error) {
		fprintf(stderr, "fetch: %s: %s\n", host, gai_strerror(error));
		exit(EXIT_FAILURE);
	}
	for (at = found; at; at = at->ai_next) {
		int fd = socket(at->ai_family, at->ai_socktype, at->ai_protocol);

		s = fd < 0 ? NULL : tcpcrypt_socket_new(fd, &params, &error);
		if (!s)
			die("socket", fd < 0 ? TCPCRYPT_E_SYSTEM : error);
		error = tcpcrypt_socket_connect(s, at->ai_addr, at->ai_addrlen);
		if (!error)
			break;
		tcpcrypt_socket_free(s);
		s = NULL;
	}
	freeaddrinfo(found);
	if (!s)
		die(host, error);
	return s;
}

static void describe(struct tcpcrypt_socket *s)
{
	struct tcpcrypt_socket_info info = { .size = sizeof(info) };

	tcpcrypt_socket_info(s, &info);
	if (!info.session_id) {
		fprintf(stderr, "plain: %s\n", tcpcrypt_eno_reason_name(info.reason));
		return;
	}
	fprintf(stderr, "encrypted: ");
	for (int i = 0; i < TCPCRYPT_SESSION_ID_LEN; i++)
		fprintf(stderr, "%02x", info.session_id[i]);
	fprintf(stderr, "\n");
}

static void ask(struct tcpcrypt_socket *s, const char *host, const char *path)
{
	char request[4096];
	size_t done;
	int r, len = snprintf(request, sizeof(request),
			      "GET %s HTTP/1.0\r\nHost: %s\r\nConnection: close\r\n\r\n", path,
			      host);

	if (len < 0 || (size_t)len >= sizeof(request)) {
		errno = ENAMETOOLONG;
		die(path, TCPCRYPT_E_ARGUMENT);
	}
	/* A socket that waits takes all of it. */
	r = tcpcrypt_socket_write(s, request, len, &done);
	if (r)
		die("write", r);
}

int main(int argc, char **argv)
{
	const bool require = argc > 1 && !strcmp(argv[1], "-r");
	char **args = argv + 1 + require;
	struct tcpcrypt_socket *s;
	char buffer[16384];
	size_t len;
	int r;

	if (argc - require != 4) {
		fprintf(stderr, "usage: fetch [-r] HOST PORT PATH\n");
		return 2;
	}
	s = connect_to(args[0], args[1], require);
	describe(s);
	ask(s, args[0], args[2]);
	while (!(r = tcpcrypt_socket_read(s, buffer, sizeof(buffer), &len)))
		fwrite(buffer, 1, len, stdout);
	/* Anything else is a page that was cut off. */
	if (r != TCPCRYPT_EOF)
		die("read", r);
	r = tcpcrypt_socket_close(s);
	if (r)
		die("close", r);
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
