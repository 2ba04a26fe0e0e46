// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/keylog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/address.h"
#include "daemon/log.h"

#define LINE_MAX_BYTES 512

int keylog_open(const char *path, int *ret_fd)
{
	/* Not blocking: a pipe without a reader must not stop the daemon before it is refused. */
	const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	int fd = open(path, flags, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_uid != 0 || st.st_nlink != 1 ||
	    st.st_mode & (S_IRWXG | S_IRWXO)) {
		close(fd);
		return -EPERM;
	}
	*ret_fd = fd;
	return 0;
}

static void hex(char *out, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void keylog_write(int fd, const struct shared_endpoint *local, const struct shared_endpoint *peer,
		  const struct tcpcrypt_keylog *secrets)
{
	char id[2 * TCPCRYPT_SESSION_ID_LEN + 1], master[2 * TCPCRYPT_SECRET_LEN + 1];
	char ends[2][ADDRESS_TEXT_MAX], line[LINE_MAX_BYTES];
	int len;

	address_format(local, ends[0]);
	address_format(peer, ends[1]);
	hex(id, secrets->session_id, TCPCRYPT_SESSION_ID_LEN);
	hex(master, secrets->master, TCPCRYPT_SECRET_LEN);
	len = snprintf(line, sizeof(line), "TCPCRYPT %s %s %c %04x %s %s %" PRIu64 " %" PRIu64 "\n",
		       ends[0], ends[1], secrets->sends_as == TCPCRYPT_ROLE_A ? 'A' : 'B',
		       secrets->aead, id, master, secrets->tx_offset, secrets->rx_offset);
	/* In one call, so that lines stay whole. A full disk is no reason to fail. */
	if (write(fd, line, (size_t)len) != len)
		log_warning("the key log lacks a session: %s", strerror(errno));
	explicit_bzero(master, sizeof(master));
	explicit_bzero(line, sizeof(line));
}
