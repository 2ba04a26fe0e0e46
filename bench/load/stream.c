// SPDX-License-Identifier: BSD-2-Clause
#include "bench/load/stream.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int keep_session(SSL *tls, SSL_SESSION *session)
{
	struct stream_tls *t = SSL_CTX_get_app_data(SSL_get_SSL_CTX(tls));

	SSL_SESSION_free(t->session);
	t->session = session;
	return 1; /* it is ours now */
}

void stream_tls_init(struct stream_tls *t, const char *pem_path, bool resume)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_method());

	if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1 ||
	    (pem_path && (SSL_CTX_use_certificate_file(ctx, pem_path, SSL_FILETYPE_PEM) != 1 ||
			  SSL_CTX_use_PrivateKey_file(ctx, pem_path, SSL_FILETYPE_PEM) != 1))) {
		ERR_print_errors_fp(stderr);
		exit(EXIT_FAILURE);
	}
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	t->ctx = ctx;
	t->resume = resume;
	if (!resume)
		return;
	SSL_CTX_set_app_data(ctx, t);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, keep_session);
}

void stream_begin(struct stream *s, int fd, struct stream_tls *t, bool server)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	*s = (struct stream){ .fd = fd };
	if (!t->ctx)
		return;
	s->tls = SSL_new(t->ctx);
	if (!s->tls || SSL_set_fd(s->tls, fd) != 1) {
		ERR_print_errors_fp(stderr);
		exit(EXIT_FAILURE);
	}
	if (server) {
		SSL_set_accept_state(s->tls);
		return;
	}
	SSL_set_connect_state(s->tls);
	if (t->resume && t->session)
		SSL_set_session(s->tls, t->session);
}

static ssize_t tls_result(struct stream *s, int n)
{
	if (n > 0)
		return n;
	switch (SSL_get_error(s->tls, n)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		ERR_clear_error();
		return -ECONNRESET;
	}
}

ssize_t stream_read(struct stream *s, void *buffer, size_t len)
{
	ssize_t n;

	if (s->tls)
		return tls_result(s, SSL_read(s->tls, buffer, (int)len));
	n = read(s->fd, buffer, len);
	return n < 0 ? -errno : n;
}

ssize_t stream_write(struct stream *s, const void *buffer, size_t len)
{
	ssize_t n;

	if (s->tls)
		return tls_result(s, SSL_write(s->tls, buffer, (int)len));
	n = send(s->fd, buffer, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

void stream_end(struct stream *s)
{
	if (s->tls) {
		SSL_shutdown(s->tls);
		SSL_free(s->tls);
		ERR_clear_error();
	}
	close(s->fd);
	s->fd = -1;
	s->tls = NULL;
}
