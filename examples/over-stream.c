/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The protocol over a stream that is not TCP, here a socketpair between two processes: each end
 * gives the other the option that its SYN would have, both negotiate, and a session makes bytes
 * of bytes. No engine, no privilege, no socket of the library's.
 * usage: over-stream TEXT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <tcpcrypt/eno.h>
#include <unistd.h>

struct end {
	int fd;
	struct tcpcrypt_session *session;
	uint8_t in[TCPCRYPT_RECEIVE_MAX]; /* received, not consumed */
	size_t in_len;
	struct tcpcrypt_received got; /* by the last receive_next() */
};

static void check(bool good, const char *what, int error)
{
	if (good)
		return;
	fprintf(stderr, "over-stream: %s: %s\n", what, tcpcrypt_error_name(error));
	exit(EXIT_FAILURE);
}

static void write_all(int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write(fd, data, len);

		check(n > 0, "write", 0);
		data += n;
		len -= n;
	}
}

static void read_all(int fd, uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = read(fd, data, len);

		check(n > 0, "read", 0);
		data += n;
		len -= n;
	}
}

/* An option's second byte is its length. */
static size_t option_read(int fd, uint8_t option[TCPCRYPT_ENO_OPTION_MAX])
{
	read_all(fd, option, 2);
	check(option[1] >= 2 && option[1] <= TCPCRYPT_ENO_OPTION_MAX, "option", 0);
	read_all(fd, option + 2, option[1] - 2);
	return option[1];
}

/* Both options, and what they come to. What TCP would leave plain ends here. */
static struct tcpcrypt_eno_result negotiate(int fd, enum tcpcrypt_eno_opener opener)
{
	static const uint8_t teps[] = { TCPCRYPT_TEP_X25519, TCPCRYPT_TEP_P256 };
	const struct tcpcrypt_eno_settings settings = { .opener = opener,
							.teps = teps,
							.n_teps = 2 };
	uint8_t own[TCPCRYPT_ENO_OPTION_MAX], peer[TCPCRYPT_ENO_OPTION_MAX];
	const struct tcpcrypt_eno_resume *hit;
	struct tcpcrypt_eno_result result;
	enum tcpcrypt_eno_reason reason = TCPCRYPT_ENO_OK;
	size_t own_len, peer_len = 0;
	int r;

	if (opener == TCPCRYPT_ENO_ACTIVE) {
		r = tcpcrypt_eno_offer(&settings, own, &own_len);
	} else {
		peer_len = option_read(fd, peer);
		r = tcpcrypt_eno_answer(&settings, peer, peer_len, NULL, 0, own, &own_len, &reason,
					&hit);
	}
	check(!r && own_len, tcpcrypt_eno_reason_name(reason), r);
	write_all(fd, own, own_len);
	if (opener == TCPCRYPT_ENO_ACTIVE)
		peer_len = option_read(fd, peer);
	tcpcrypt_eno_negotiate(&settings, own, own_len, peer, peer_len, &result);
	check(result.reason == TCPCRYPT_ENO_OK, tcpcrypt_eno_reason_name(result.reason), 0);
	return result;
}

static void begin(struct end *e, enum tcpcrypt_eno_opener opener)
{
	static const uint16_t aeads[] = { TCPCRYPT_AEAD_AES_128_GCM,
					  TCPCRYPT_AEAD_CHACHA20_POLY1305 };
	const struct tcpcrypt_eno_result result = negotiate(e->fd, opener);
	const struct tcpcrypt_session_params params = {
		.size = sizeof(params),
		.crypto = tcpcrypt_crypto_fastest(),
		.role = result.role,
		.tep_byte = result.tep_byte,
		.transcript = result.transcript,
		.transcript_len = result.transcript_len,
		.aeads = aeads,
		.n_aeads = 2,
	};
	int error;

	e->session = tcpcrypt_session_new(&params, &error);
	check(e->session, "session", error);
}

/* What the session itself has to say: Init messages, new keys. */
static void speak(struct end *e)
{
	uint8_t out[TCPCRYPT_OUTPUT_MAX];
	size_t len;
	int r;

	while (tcpcrypt_session_has_output(e->session)) {
		r = tcpcrypt_session_output(e->session, out, &len);
		check(!r, "output", r);
		write_all(e->fd, out, len);
	}
}

/* Forgets what was consumed last, and receives the next message or frame. */
static void receive_next(struct end *e)
{
	ssize_t n;
	int r;

	e->in_len -= e->got.consumed;
	memmove(e->in, e->in + e->got.consumed, e->in_len);
	e->got.consumed = 0;
	while ((r = tcpcrypt_session_receive(e->session, e->in, e->in_len, &e->got)) ==
	       TCPCRYPT_AGAIN) {
		n = read(e->fd, e->in + e->in_len, sizeof(e->in) - e->in_len);
		check(n >= 0, "read", 0);
		if (!n) {
			r = tcpcrypt_session_receive_fin(e->session, e->in_len);
			check(false, "end of stream", r);
		}
		e->in_len += n;
	}
	check(!r, "receive", r);
	speak(e);
}

static void exchange_keys(struct end *e)
{
	speak(e);
	while (!tcpcrypt_session_can_send(e->session))
		receive_next(e);
}

static void send_text(struct end *e, const char *text, size_t len, unsigned int flags)
{
	static uint8_t frame[TCPCRYPT_FRAME_MAX];
	size_t frame_len;
	int r;

	memcpy(frame + TCPCRYPT_FRAME_HEADROOM, text, len);
	r = tcpcrypt_session_send(e->session, frame, len, flags, 0, &frame_len);
	check(!r, "send", r);
	write_all(e->fd, frame, frame_len);
}

/* Until FINp: what comes before it is sent back, or printed. */
static void receive_all(struct end *e, bool back)
{
	while (!(e->got.events & TCPCRYPT_RX_EOF)) {
		receive_next(e);
		if (back && e->got.data_len)
			send_text(e, (const char *)e->got.data, e->got.data_len, 0);
		else if (e->got.data_len)
			fwrite(e->got.data, 1, e->got.data_len, stdout);
	}
}

static void print_id(const struct end *e, const char *who)
{
	struct tcpcrypt_session_info info;

	tcpcrypt_session_info(e->session, &info);
	printf("%s ", who);
	for (int i = 0; i < TCPCRYPT_SESSION_ID_LEN; i++)
		printf("%02x", info.session_id[i]);
	printf("\n");
	fflush(stdout);
}

/* The child sends back what the parent says. */
static int child(int fd)
{
	static struct end e;

	e.fd = fd;
	begin(&e, TCPCRYPT_ENO_PASSIVE);
	exchange_keys(&e);
	print_id(&e, "child");
	receive_all(&e, true);
	send_text(&e, "", 0, TCPCRYPT_TX_FIN);
	tcpcrypt_session_free(e.session);
	return EXIT_SUCCESS;
}

static void parent(int fd, const char *text)
{
	static struct end e;

	e.fd = fd;
	begin(&e, TCPCRYPT_ENO_ACTIVE);
	exchange_keys(&e);
	print_id(&e, "parent");
	send_text(&e, text, strlen(text), TCPCRYPT_TX_FIN);
	receive_all(&e, false);
	printf("\n");
	tcpcrypt_session_free(e.session);
}

int main(int argc, char **argv)
{
	int fds[2], status;
	pid_t pid;

	if (argc != 2 || strlen(argv[1]) > TCPCRYPT_FRAME_DATA_MAX) {
		fprintf(stderr, "usage: over-stream TEXT\n");
		return 2;
	}
	check(!socketpair(AF_UNIX, SOCK_STREAM, 0, fds), "socketpair", 0);
	pid = fork();
	check(pid >= 0, "fork", 0);
	if (!pid) {
		close(fds[0]);
		return child(fds[1]);
	}
	close(fds[1]);
	parent(fds[0], argv[1]);
	check(waitpid(pid, &status, 0) == pid, "waitpid", 0);
	return status ? EXIT_FAILURE : EXIT_SUCCESS;
}
