// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program that reads its connection's session ID by socket option, at either end:
 *
 *   sockopt connect ADDRESS PORT    sends a byte, reads it back
 *   sockopt listen ADDRESS PORT     sends back what one client sends
 *
 * Prints the session ID in hex. Linked statically: nothing can be preloaded into it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <tcpcrypt/tcp_eno.h>

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static socklen_t address(const char *text, const char *port, struct sockaddr_storage *ss)
{
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)ss;
	struct sockaddr_in *v4 = (struct sockaddr_in *)ss;
	uint16_t n = htons((uint16_t)atoi(port));

	memset(ss, 0, sizeof(*ss));
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = n;
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1) {
		fprintf(stderr, "sockopt: %s is no address\n", text);
		exit(EXIT_FAILURE);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = n;
	return sizeof(*v6);
}

/* A byte of the peer's has come: the keys are there. */
static void print_session_id(int fd)
{
	uint8_t id[TCP_ENO_SESSID_LEN];
	socklen_t len = sizeof(id);

	if (getsockopt(fd, IPPROTO_TCP, TCP_ENO_SESSID, id, &len))
		die("TCP_ENO_SESSID");
	for (socklen_t i = 0; i < len; i++)
		printf("%02x", id[i]);
	printf("\n");
}

static void do_connect(int fd, const struct sockaddr_storage *ss, socklen_t len)
{
	char byte = 'x';

	if (connect(fd, (const struct sockaddr *)ss, len))
		die("connect");
	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		die("echo");
	print_session_id(fd);
}

static void do_listen(int fd, const struct sockaddr_storage *ss, socklen_t len)
{
	char byte;
	int conn;

	if (bind(fd, (const struct sockaddr *)ss, len) || listen(fd, 1))
		die("listen");
	conn = accept(fd, NULL, NULL);
	if (conn < 0 || read(conn, &byte, 1) != 1)
		die("accept");
	print_session_id(conn);
	if (write(conn, &byte, 1) != 1 || read(conn, &byte, 1) != 0)
		die("echo");
	close(conn);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	if (argc != 4)
		return EXIT_FAILURE;
	len = address(argv[2], argv[3], &ss);
	fd = socket(ss.ss_family, SOCK_STREAM, 0);
	if (fd < 0)
		die("socket");
	if (!strcmp(argv[1], "listen"))
		do_listen(fd, &ss, len);
	else
		do_connect(fd, &ss, len);
	close(fd);
	return EXIT_SUCCESS;
}
