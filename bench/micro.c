// SPDX-License-Identifier: BSD-2-Clause
/*
 * What core and crypto cost by themselves, on one core and without any I/O: sealing and opening
 * frames by size, in cycles as well, key updates, handshakes, resumptions. Each figure is the median of
 * several rounds.
 */
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

#include "crypto/fastest.h"

#include <tcpcrypt/session.h>

#define ROUNDS	    7
#define ROUND_NS    50000000.0 /* how long a round lasts, about */
#define OPTION_A    "\x45\x03\x23"
#define OPTION_B    "\x45\x04\x01\x23"
#define RESUMES	    0x80 /* v of a TEP's byte */
#define SIZES_N	    6
#define FRAME_BYTES (TCPCRYPT_FRAME_MAX + 64)

struct pair {
	struct tcpcrypt_session *a, *b;
};

static double now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

/* The CPU's time, not the wall's: the machine may have other things to do. */
static double cpu_ns(void)
{
	return now_ns(CLOCK_PROCESS_CPUTIME_ID);
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
		double start = cpu_ns(), end = start;
		long n = 0;

		while (end - start < ROUND_NS) {
			for (int i = 0; i < 16; i++)
				what(data);
			n += 16;
			end = cpu_ns();
		}
		rounds[r] = (end - start) / n;
	}
	qsort(rounds, ROUNDS, sizeof(rounds[0]), by_value);
	return rounds[ROUNDS / 2];
}

/* ---- cycles ---- */

/* The processor's own, of this process in user space; -1 where there are none, as in most virtual
 * machines. */
static int cycles_open(void)
{
	struct perf_event_attr attr = { .size = sizeof(attr),
					.type = PERF_TYPE_HARDWARE,
					.config = PERF_COUNT_HW_CPU_CYCLES,
					.exclude_kernel = 1,
					.exclude_hv = 1 };

	return syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
}

static uint64_t cycles_read(int fd)
{
	uint64_t n = 0;

	if (fd >= 0)
		return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
#if defined(__x86_64__)
	n = __rdtsc();
#endif
	return n;
}

/* How many there are in a nanosecond, by a busy loop; 0: nobody tells. The time stamp counter goes on
 * while others run, and so is held against the wall's time. */
static double cycles_in_ns(const char **ret_what)
{
	int fd = cycles_open();
	clockid_t clock = fd >= 0 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
	uint64_t first = cycles_read(fd), last;
	double start = now_ns(clock), end;

	do {
		/* Long enough that asking for the time, in the kernel, is nothing beside it. */
		for (volatile int i = 0; i < 1000000; i++)
			;
		end = now_ns(clock);
		last = cycles_read(fd);
	} while (end - start < ROUND_NS);
	*ret_what = fd >= 0	   ? "the processor's, counted"
		    : last > first ? "the time stamp counter's, at a constant rate"
				   : "not counted here";
	if (fd >= 0)
		close(fd);
	return (last - first) / (end - start);
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

static void frames(const char *name, const struct tcpcrypt_crypto *crypto, uint16_t aead,
		   double cycles)
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
		printf("%-30s %6zu  %9.0f  %9.0f  %7.2f", name, sizes[i], sealed, both - sealed,
		       sizes[i] / sealed);
		if (cycles > 0)
			printf("  %11.2f  %11.2f", cycles * sealed / sizes[i],
			       cycles * (both - sealed) / sizes[i]);
		printf("\n");
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
	double start = cpu_ns(), end;
	size_t len;

	must(tcpcrypt_session_rekey(u->pair.a), "a key update");
	must(tcpcrypt_session_output(u->pair.a, frame, &len), "a key update");
	end = cpu_ns();
	u->begun += end - start;
	start = end;
	must(tcpcrypt_session_receive(u->pair.b, frame, len, &rx), "a key update");
	must(tcpcrypt_session_output(u->pair.b, frame, &len), "its answer");
	end = cpu_ns();
	u->answered += end - start;
	must(tcpcrypt_session_receive(u->pair.a, frame, len, &rx), "its answer");
	u->taken += cpu_ns() - end;
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

/* Each end of a resumed session takes a secret of its chain and derives the one that comes next. */
struct resumed {
	const struct tcpcrypt_crypto *crypto;
	struct tcpcrypt_next_secret a, b;
};

static struct tcpcrypt_session *resumed(const struct tcpcrypt_crypto *crypto,
					enum tcpcrypt_role role, struct tcpcrypt_next_secret *next)
{
	uint8_t transcript[] = OPTION_A OPTION_B;
	struct tcpcrypt_resumption resume = { .original_role = role,
					      .aead = next->aead,
					      .nonces_len = sizeof(resume.nonces) };
	struct tcpcrypt_session_params p = { .size = sizeof(p),
					     .crypto = crypto,
					     .role = role,
					     .tep_byte = next->tep | RESUMES,
					     .transcript = transcript,
					     .transcript_len = sizeof(transcript) - 1,
					     .resume = &resume };
	struct tcpcrypt_session *s;
	int error = 0;

	memcpy(resume.secret, next->secret, sizeof(resume.secret));
	s = tcpcrypt_session_new(&p, &error);
	must(error, "resuming");
	must(tcpcrypt_session_next_secret_advance(crypto, next), "the next secret");
	return s;
}

static void resume(void *data)
{
	struct resumed *r = data;
	struct pair p = { resumed(r->crypto, TCPCRYPT_ROLE_A, &r->a),
			  resumed(r->crypto, TCPCRYPT_ROLE_B, &r->b) };

	pair_free(p);
}

static void resumptions(const char *name, const struct tcpcrypt_crypto *crypto, uint8_t tep)
{
	struct pair p = handshake(crypto, tep, TCPCRYPT_AEAD_AES_128_GCM);
	struct resumed r = { .crypto = crypto };

	must(tcpcrypt_session_next_secret(p.a, &r.a), "the next secret");
	must(tcpcrypt_session_next_secret(p.b, &r.b), "the next secret");
	pair_free(p);
	printf("%-30s %9.0f\n", name, 1e9 / measure(resume, &r));
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

	const char *what;
	double cycles = cycles_in_ns(&what);

	if (!openssl || !fastest) {
		fprintf(stderr, "micro: no usable crypto backend\n");
		return EXIT_FAILURE;
	}
	printf("cycles: %s, %.2f in a nanosecond\n\n", what, cycles);
	printf("%-30s %6s  %9s  %9s  %7s  %11s  %11s\n", "frames", "bytes", "seal ns", "open ns",
	       "GB/s", "seal cyc/B", "open cyc/B");
	frames("aes-128-gcm, daemon's backend", fastest, TCPCRYPT_AEAD_AES_128_GCM, cycles);
	frames("aes-128-gcm, openssl", openssl, TCPCRYPT_AEAD_AES_128_GCM, cycles);
	frames("chacha20-poly1305", fastest, TCPCRYPT_AEAD_CHACHA20_POLY1305, cycles);
	printf("\n%-30s %9s  %9s %9s\n", "key updates", "begin ns", "answer ns", "take ns");
	updates("aes-128-gcm, daemon's backend", fastest, TCPCRYPT_AEAD_AES_128_GCM);
	updates("chacha20-poly1305", fastest, TCPCRYPT_AEAD_CHACHA20_POLY1305);
	printf("\n%-30s %s\n", "key exchange", "both ends together, a second and core");
	for (size_t i = 0; i < sizeof(teps) / sizeof(teps[0]); i++) {
		struct exchange e = { fastest, teps[i].tep };

		printf("%-30s %9.0f\n", teps[i].name, 1e9 / measure(exchange, &e));
	}
	printf("\n%-30s %s\n", "resumption", "both ends together, a second and core");
	resumptions("x25519's session", fastest, TCPCRYPT_TEP_X25519);
	return EXIT_SUCCESS;
}
