// SPDX-License-Identifier: BSD-2-Clause
/*
 * Goal of this test: a socket object leaves nothing of the secret that it resumes with, which the
 * kernel tells it, on the stack of whoever calls it.
 */
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <tcpcrypt/socket.h>

#include "bpf/shared.h"
#include "inproc/next.h"

#define DEEP 32768

static struct shared_inproc told = { .state = ENO_SOCK_ENABLED };
static uint8_t below[DEEP];

static int fake_setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	return 0;
}

static int fake_getsockopt(int fd, int level, int name, void *value, socklen_t *len)
{
	if (level == SOL_SOCKET && name == SO_PROTOCOL)
		*(int *)value = IPPROTO_TCP;
	else if (level == SOL_SOCKET)
		memset(value, 0, *len);
	else if (name == TCP_CRYPT_INPROC)
		memcpy(value, &told, sizeof(told));
	return 0;
}

static int fake_connect(int fd, const struct sockaddr *to, socklen_t len)
{
	return 0;
}

/* What it has used of the stack is looked at before anybody else uses it. */
__attribute__((noinline, no_sanitize("address"))) static int connect_and_look(
	struct tcpcrypt_socket *s, const struct sockaddr *to)
{
	int r = tcpcrypt_socket_connect(s, to, sizeof(struct sockaddr_in));
	const volatile uint8_t *stack = (uint8_t *)__builtin_frame_address(0) - DEEP;

	for (size_t i = 0; i < DEEP; i++)
		below[i] = stack[i];
	return r;
}

static void nothing_left(void **state)
{
	const struct sockaddr_in to = { .sin_family = AF_INET };
	int error, fd = socket(AF_INET, SOCK_STREAM, 0);
	struct tcpcrypt_socket *s;

	for (size_t i = 0; i < sizeof(told.secret.secret); i++)
		told.secret.secret[i] = 0x5e ^ 7 * i;
	next_calls.setsockopt = fake_setsockopt;
	next_calls.getsockopt = fake_getsockopt;
	next_calls.connect = fake_connect;
	s = tcpcrypt_socket_new(fd, NULL, &error);
	assert_non_null(s);
	/* There is no session in what the kernel told; but it was told. */
	assert_int_equal(connect_and_look(s, (const struct sockaddr *)&to), TCPCRYPT_E_STATE);
	for (size_t i = 0; i + 16 <= DEEP; i++)
		assert_memory_not_equal(below + i, told.secret.secret, 16);
	tcpcrypt_socket_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nothing_left) };

	return cmocka_run_group_tests_name("a resumed session's secret on the stack", tests, NULL,
					   NULL);
}
