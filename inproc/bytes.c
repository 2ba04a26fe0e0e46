// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/bytes.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "inproc/next.h"

struct bytes bytes_of(const struct iovec *iov, size_t n)
{
	struct bytes b = { .iov = iov, .n = n, .file = -1 };

	for (size_t i = 0; i < n; i++)
		b.left += iov[i].iov_len < BYTES_MAX - b.left ? iov[i].iov_len : BYTES_MAX - b.left;
	return b;
}

/* The next piece that lies in one place, of at most max bytes. */
static uint8_t *piece(struct bytes *b, size_t max, size_t *ret_len)
{
	uint8_t *at;

	while (b->at == b->iov->iov_len) {
		b->iov++;
		b->at = 0;
	}
	at = (uint8_t *)b->iov->iov_base + b->at;
	*ret_len = b->iov->iov_len - b->at;
	if (*ret_len > max)
		*ret_len = max;
	b->at += *ret_len;
	b->left -= *ret_len;
	return at;
}

void bytes_put(struct bytes *to, const uint8_t *from, size_t len)
{
	size_t n;

	while (len) {
		uint8_t *at = piece(to, len, &n);

		memcpy(at, from, n);
		from += n;
		len -= n;
	}
}

void bytes_skip(struct bytes *b, size_t len)
{
	size_t n;

	for (; len; len -= n)
		piece(b, len, &n);
}

/* What was there may have gone to another reader: nobody waits for more with a connection's lock. */
static ssize_t pipe_take(int pipe, uint8_t *to, size_t max)
{
	const struct iovec iov = { to, max };
	struct pollfd p = { .fd = pipe, .events = POLLIN };
	ssize_t n = next()->preadv2(pipe, &iov, 1, -1, RWF_NOWAIT);

	/* Pipes know it since Linux 6.4. */
	if (n < 0 && errno == EOPNOTSUPP)
		n = next()->poll(&p, 1, 0) == 1 ? next()->read(pipe, to, max) : 0;
	return n < 0 && errno == EAGAIN ? 0 : n;
}

static ssize_t file_take(struct bytes *b, uint8_t *to, size_t max)
{
	ssize_t n;

	do {
		n = b->pipe ? pipe_take(b->file, to, max) : pread(b->file, to, max, b->offset);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (!n)
		b->left = 0;
	b->offset += n;
	b->left -= n;
	return n;
}

const uint8_t *bytes_lent(struct bytes *from, size_t len)
{
	size_t n;

	if (from->file >= 0 || len > from->left || from->iov->iov_len - from->at < len)
		return NULL;
	return piece(from, len, &n);
}

ssize_t bytes_take(struct bytes *from, uint8_t *to, size_t max)
{
	size_t len = max < from->left ? max : from->left;
	size_t n;

	if (from->file >= 0)
		return file_take(from, to, len);
	for (size_t done = 0; done < len; done += n) {
		const uint8_t *at = piece(from, len - done, &n);

		memcpy(to + done, at, n);
	}
	return len;
}
