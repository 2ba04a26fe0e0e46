/* SPDX-License-Identifier: BSD-2-Clause */
/* A connection's bytes, by themselves or in TLS 1.3 by libssl. All of it is non-blocking. */
#ifndef BENCH_LOAD_STREAM_H
#define BENCH_LOAD_STREAM_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct stream {
	int fd;
	SSL *tls; /* NULL: plain */
};

/* What connections of this process are made with; all empty: plain. */
struct stream_tls {
	SSL_CTX *ctx;
	bool resume;	      /* a client offers the last session it was given */
	SSL_SESSION *session; /* that one */
};

/* For a server with its certificate and key in one file, or (NULL) a client, which checks
 * nothing: what is measured is speed. Ends the process when it fails. */
void stream_tls_init(struct stream_tls *t, const char *pem_path, bool resume);

/* Takes over a connected or connecting descriptor. */
void stream_begin(struct stream *s, int fd, struct stream_tls *t, bool server);

/* The number of bytes, 0 at the end of the stream, or a negative errno. */
ssize_t stream_read(struct stream *s, void *buffer, size_t len);
ssize_t stream_write(struct stream *s, const void *buffer, size_t len);

void stream_end(struct stream *s);

#endif
