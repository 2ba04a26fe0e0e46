// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/settings.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bpf/shared.h"
#include "inproc/keys.h"
#include "inproc/next.h"

/* For the engine to attach its guard, when this is the first process that asks. */
#define GUARD_TRIES    100
#define GUARD_PAUSE_NS 10000000L

static bool on;
static uint16_t aeads[2][TCPCRYPT_AEADS_MAX];
static size_t n_aeads[2];

/* The options list them as RFC 8548's examples do: for host B the last is preferred. */
static void aeads_read(int fd, int option, enum tcpcrypt_role role)
{
	uint8_t bytes[2 * TCPCRYPT_AEADS_MAX];
	socklen_t len = sizeof(bytes);

	if (next()->getsockopt(fd, IPPROTO_TCP, option, bytes, &len))
		return;
	n_aeads[role] = len / 2;
	for (size_t i = 0; i < n_aeads[role]; i++) {
		size_t at = role == TCPCRYPT_ROLE_A ? i : n_aeads[role] - 1 - i;

		aeads[role][at] = bytes[2 * i] << 8 | bytes[2 * i + 1];
	}
}

static void ask(void)
{
	const struct timespec pause = { .tv_nsec = GUARD_PAUSE_NS };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *how = getenv("TCPCRYPT_INPROC");
	int one = 1, error = EAGAIN;

	if (fd < 0)
		return;
	/* For whoever wants one program of a service left alone. */
	if (how && !strcmp(how, "off"))
		error = ENOPROTOOPT;
	for (int i = 0; error == EAGAIN && i < GUARD_TRIES; i++) {
		if (i)
			nanosleep(&pause, NULL);
		error = next()->setsockopt(fd, IPPROTO_TCP, TCP_CRYPT_INPROC, &one, sizeof(one))
				? errno
				: 0;
	}
	aeads_read(fd, TCP_CRYPT_ACONF, TCPCRYPT_ROLE_A);
	aeads_read(fd, TCP_CRYPT_BCONF, TCPCRYPT_ROLE_B);
	next()->close(fd);
	on = !error && n_aeads[0] && n_aeads[1] && keys_crypto();
}

/* Asked for by `tcpcrypt run --require` and by a unit's drop-in. */
static bool is_required(void)
{
	const char *how = getenv("TCPCRYPT_INPROC");

	return how && !strcmp(how, "require");
}

__attribute__((constructor(104))) static void require(void)
{
	static const char message[] = "tcpcrypt: no engine here, and encryption is required\n";

	if (!is_required() || settings_on())
		return;
	if (next()->write(STDERR_FILENO, message, sizeof(message) - 1) < 0)
		_exit(EXIT_FAILURE);
	_exit(EXIT_FAILURE);
}

bool settings_on(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	int saved = errno;

	pthread_once(&once, ask);
	errno = saved;
	return on;
}

void settings_off(void)
{
	settings_on();
	on = false;
}

const uint16_t *settings_aeads(enum tcpcrypt_role role)
{
	return aeads[role];
}

size_t settings_n_aeads(enum tcpcrypt_role role)
{
	return n_aeads[role];
}
