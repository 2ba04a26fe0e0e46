// SPDX-License-Identifier: BSD-2-Clause
/*
 * What core and crypto cost by themselves, on one core and without any I/O: sealing and opening
 * frames by size, handshakes, resumptions. Each figure is the median of several rounds.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "crypto/fastest.h"

#include <tcpcrypt/session.h>

#define ROUNDS	    7
#define ROUND_NS    50000000.0 /* how long a round lasts, about */
#define OPTION_A    "\x45\x03\x23"
#define OPTION_B    "\x45\x04\x01\x23"
#define SIZES_N	    6
#define FRAME_BYTES (TCPCRYPT_FRAME_MAX + 64)

struct pair {
	struct tcpcrypt_session *a, *b;
};

static double now_ns(void)
{
	struct timespec ts;

	/* The CPU's time, not the wall's: the machine may have other things to do. */
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static int by_value(const void *x, const void *y)
{
	double a = *(const double *)x, b = *(const double *)y;

	return (a > b) - (a < b);
}

/* The median time of one call of what(), in ns. */
static double measure(void (*what)(void *), void *data)
{
	double rounds[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		double start = now_ns(), end = start;
		long n = 0;

		while (end - start < ROUND_NS) {
			for (int i = 0; i < 16; i++)
				what(data);
			n += 16;
			end = now_ns();
		}
		rounds[r] = (end - start) / n;
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
	return rounds[ROUNDS / 2];
}

static void must(int outcome, const char *what)
{
	if (outcome < 0) {
		fprintf(stderr, "micro: %s: %s\n", what, tcpcrypt_error_name(outcome));
		exit(EXIT_FAILURE);
	}
}

static struct tcpcrypt_session *start(const struct tcpcrypt_crypto *crypto, enum tcpcrypt_role role,
				      uint8_t tep, const uint16_t *aead)
{
	uint8_t transcript[] = OPTION_A OPTION_B;
	struct tcpcrypt_session_params p = { .size = sizeof(p),
					     .crypto = crypto,
					     .role = role,
					     .tep_byte = tep,
					     .transcript = transcript,
					     .transcript_len = sizeof(transcript) - 1,
					     .aeads = aead,
					     .n_aeads = 1 };
	int error = 0;
	struct tcpcrypt_session *s = tcpcrypt_session_new(&p, &error);

	must(error, "starting a session");
	return s;
}

static void carry(struct tcpcrypt_session *from, struct tcpcrypt_session *to)
{
	uint8_t message[TCPCRYPT_OUTPUT_MAX];
	struct tcpcrypt_received rx;
	size_t len;

	must(tcpcrypt_session_output(from, message, &len), "Init");
	must(tcpcrypt_session_receive(to, message, len, &rx), "Init");
}

static struct pair handshake(const struct tcpcrypt_crypto *crypto, uint8_t tep, uint16_t aead)
{
	struct pair p = { start(crypto, TCPCRYPT_ROLE_A, tep, &aead),
			  start(crypto, TCPCRYPT_ROLE_B, tep, &aead) };

	carry(p.a, p.b);
	carry(p.b, p.a);
	return p;
}

static void pair_free(struct pair p)
{
	tcpcrypt_session_free(p.a);
	tcpcrypt_session_free(p.b);
}

struct frames {
	struct pair pair;
	size_t size;
	uint8_t *frame;
};

static void seal(void *data)
{
	struct frames *f = data;
	size_t len;

	must(tcpcrypt_session_send(f->pair.a, f->frame, f->size, 0, 0, &len), "sealing");
}

static void seal_and_open(void *data)
{
	struct frames *f = data;
	struct tcpcrypt_received rx;
	size_t len;

	must(tcpcrypt_session_send(f->pair.a, f->frame, f->size, 0, 0, &len), "sealing");
	must(tcpcrypt_session_receive(f->pair.b, f->frame, len, &rx), "opening");
}

static void frames(const char *name, const struct tcpcrypt_crypto *crypto, uint16_t aead)
{
	static const size_t sizes[SIZES_N] = { 64, 512, 1380, 8192, 16384, 65000 };

	for (size_t i = 0; i < SIZES_N; i++) {
		struct frames f = { handshake(crypto, TCPCRYPT_TEP_X25519, aead), sizes[i],
				    calloc(1, FRAME_BYTES) };
		double sealed = measure(seal, &f), both;

		pair_free(f.pair);
		f.pair = handshake(crypto, TCPCRYPT_TEP_X25519, aead);
		both = measure(seal_and_open, &f);
		pair_free(f.pair);
		free(f.frame);
		printf("%-30s %6zu  %9.0f  %9.0f  %7.2f\n", name, sizes[i], sealed, both - sealed,
		       sizes[i] / sealed);
	}
}

/* What a key update without data costs who begins it, and who answers: a peer may ask for as many
 * as it likes, and need not read the answers. */
struct updates {
	struct pair pair;
	double begun, answered, taken; /* ns, together */
	long n;
};

static void update(void *data)
{
	uint8_t frame[TCPCRYPT_OUTPUT_MAX];
	struct updates *u = data;
	struct tcpcrypt_received rx;
	double start = now_ns(), end;
	size_t len;

	must(tcpcrypt_session_rekey(u->pair.a), "a key update");
	must(tcpcrypt_session_output(u->pair.a, frame, &len), "a key update");
	end = now_ns();
	u->begun += end - start;
	start = end;
	must(tcpcrypt_session_receive(u->pair.b, frame, len, &rx), "a key update");
	must(tcpcrypt_session_output(u->pair.b, frame, &len), "its answer");
	end = now_ns();
	u->answered += end - start;
	must(tcpcrypt_session_receive(u->pair.a, frame, len, &rx), "its answer");
	u->taken += now_ns() - end;
	u->n++;
}

static void updates(const char *name, const struct tcpcrypt_crypto *crypto, uint16_t aead)
{
	struct updates u = { .pair = handshake(crypto, TCPCRYPT_TEP_X25519, aead) };

	measure(update, &u);
	pair_free(u.pair);
	printf("%-30s %9.0f  %9.0f %9.0f\n", name, u.begun / u.n, u.answered / u.n, u.taken / u.n);
}

struct exchange {
	const struct tcpcrypt_crypto *crypto;
	uint8_t tep;
};

static void exchange(void *data)
{
	const struct exchange *e = data;

	pair_free(handshake(e->crypto, e->tep, TCPCRYPT_AEAD_AES_128_GCM));
}

int main(void)
{
	static const struct {
		const char *name;
		uint8_t tep;
	} teps[] = { { "x25519", TCPCRYPT_TEP_X25519 },
		     { "p256", TCPCRYPT_TEP_P256 },
		     { "x448", TCPCRYPT_TEP_X448 },
		     { "p521", TCPCRYPT_TEP_P521 } };
	const struct tcpcrypt_crypto *openssl = tcpcrypt_crypto_openssl();
	const struct tcpcrypt_crypto *fastest = crypto_choose()->table;

	if (!openssl || !fastest) {
		fprintf(stderr, "micro: no usable crypto backend\n");
		return EXIT_FAILURE;
	}
	printf("%-30s %6s  %9s  %9s  %7s\n", "frames", "bytes", "seal ns", "open ns", "GB/s");
	frames("aes-128-gcm, daemon's backend", fastest, TCPCRYPT_AEAD_AES_128_GCM);
	frames("aes-128-gcm, openssl", openssl, TCPCRYPT_AEAD_AES_128_GCM);
	frames("chacha20-poly1305", fastest, TCPCRYPT_AEAD_CHACHA20_POLY1305);
	printf("\n%-30s %9s  %9s %9s\n", "key updates", "begin ns", "answer ns", "take ns");
	updates("aes-128-gcm, daemon's backend", fastest, TCPCRYPT_AEAD_AES_128_GCM);
	updates("chacha20-poly1305", fastest, TCPCRYPT_AEAD_CHACHA20_POLY1305);
	printf("\n%-30s %s\n", "key exchange", "both ends together, a second and core");
	for (size_t i = 0; i < sizeof(teps) / sizeof(teps[0]); i++) {
		struct exchange e = { fastest, teps[i].tep };

		printf("%-30s %9.0f\n", teps[i].name, 1e9 / measure(exchange, &e));
	}
	return EXIT_SUCCESS;
}
