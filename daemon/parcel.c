// SPDX-License-Identifier: BSD-2-Clause
#include "daemon/parcel.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control_data {
	struct cmsghdr header;
	char space[CMSG_SPACE(PARCEL_FDS_MAX * sizeof(int))];
};

int parcel_send(int fd, const void *bytes, size_t len, const int *fds, size_t n_fds)
{
	union control_data control = {};
	struct iovec iov = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = len };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (n_fds > PARCEL_FDS_MAX)
		return -E2BIG;
	if (n_fds) {
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(n_fds * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, n_fds * sizeof(int));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
	}
	n = sendmsg(fd, &message, MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EMSGSIZE;
}

/* Descriptors beyond *n_fds are closed. */
static void fds_take(struct msghdr *message, int *fds, size_t *n_fds)
{
	size_t room = *n_fds;

	*n_fds = 0;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (*n_fds < room)
				fds[(*n_fds)++] = fd;
			else
				close(fd);
		}
	}
}

ssize_t parcel_receive(int fd, void *bytes, size_t size, int *fds, size_t *n_fds)
{
	union control_data control;
	struct iovec iov = { .iov_base = bytes, .iov_len = size };
	struct msghdr message = { .msg_iov = &iov,
				  .msg_iovlen = 1,
				  .msg_control = &control,
				  .msg_controllen = sizeof(control) };
	ssize_t n;

	/* With a timeout, to be stopped for a moment interrupts it, without any handler (signal(7)). */
	do {
		n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0) {
		*n_fds = 0;
		return n;
	}
	fds_take(&message, fds, n_fds);
	return n;
}
