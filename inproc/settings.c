// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/settings.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpf/shared.h"
#include "inproc/keys.h"
#include "inproc/negotiated.h"
#include "inproc/next.h"
#include "inproc/servable.h"

static bool on;

static void ask(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const char *how = getenv("TCPCRYPT_INPROC");
	uint16_t aeads[TCPCRYPT_AEADS_MAX];

	if (fd < 0)
		return;
	/* For whoever wants one program of a service left alone. */
	on = !(how && !strcmp(how, "off")) && !servable_is_unfit() &&
	     !negotiated_mark(fd, SHARED_INPROC_ON) &&
	     negotiated_aeads(fd, TCPCRYPT_ROLE_A, aeads) &&
	     negotiated_aeads(fd, TCPCRYPT_ROLE_B, aeads) && keys_crypto();
	next()->close(fd);
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

	/* What `run` would have refused, but another program has started, tcpcryptd serves. */
	if (!is_required() || settings_on() || servable_is_unfit())
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
