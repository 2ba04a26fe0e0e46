// SPDX-License-Identifier: BSD-2-Clause
/* Contexts are fewer than their owners, and each use has its owner's own key all the same. */
#include <pthread.h>
#include <sys/wait.h>
#include <tcpcrypt/error.h>
#include <tcpcrypt/session.h>
#include <unistd.h>

#include "crypto/contexts.h"
#include "crypto/openssl.h"
#include "test/unit/unit.h"

#define THREADS	   4
#define OWNERS	   300 /* a thread's own; together many more than there are contexts */
#define ROUNDS	   40
#define TEXT	   "sixteen letters."
#define TEXT_LEN   16
#define SEALED_LEN (TEXT_LEN + TCPCRYPT_AEAD_TAG_LEN)

static struct contexts set;

struct owner {
	struct context_hint hint;
	uint8_t key[32];
	uint64_t serial;
	uint16_t aead;
};

static void make_key(struct owner *o, uint64_t number)
{
	memset(o->key, 0, sizeof(o->key));
	memcpy(o->key, &number, sizeof(number));
	o->serial = number;
	o->aead = number % 3 ? TCPCRYPT_AEAD_AES_128_GCM : TCPCRYPT_AEAD_CHACHA20_POLY1305;
}

static int get(struct contexts *from, const struct tcpcrypt_crypto *backend, struct owner *o,
	       struct context **ret)
{
	const struct context_user user = { &o->hint, o, o->serial, o->aead, o->key };

	return contexts_get(from, backend, &user, ret);
}

static void seal(struct tcpcrypt_aead *ctx, uint8_t out[static SEALED_LEN])
{
	const uint8_t nonce[TCPCRYPT_AEAD_NONCE_LEN] = {};

	memcpy(out, TEXT, TEXT_LEN);
	assert_int_equal(tcpcrypt_crypto_openssl()->aead_seal(ctx, nonce, nonce, 1, out, TEXT_LEN,
							      NULL, out + TEXT_LEN),
			 0);
}

/* What a context of nobody else's says. */
static void seal_alone(const struct owner *o, uint8_t out[static SEALED_LEN])
{
	const struct tcpcrypt_crypto *crypto = tcpcrypt_crypto_openssl();
	struct tcpcrypt_aead *ctx;

	assert_int_equal(crypto->aead_new(o->aead, &ctx), 0);
	assert_int_equal(crypto->aead_set_key(ctx, o->key), 0);
	seal(ctx, out);
	crypto->aead_free(ctx);
}

static bool has_own_key(struct owner *o)
{
	uint8_t got[SEALED_LEN], want[SEALED_LEN];
	struct context *c;

	if (get(&set, tcpcrypt_crypto_openssl(), o, &c))
		return false;
	seal(context_aead(c), got);
	contexts_put(c);
	seal_alone(o, want);
	return !memcmp(got, want, sizeof(want));
}

static void *work(void *data)
{
	struct owner *owners = calloc(OWNERS, sizeof(*owners));
	uint64_t number = 1000000 * (uintptr_t)data;
	bool right = true;

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < OWNERS; i++) {
			struct owner *o = &owners[i];

			if (!o->serial || (i + round) % 7 == 0)
				make_key(o, ++number);
			right = right && has_own_key(o) && has_own_key(o);
			if ((i + round) % 5 == 0)
				contexts_drop(&set, tcpcrypt_crypto_openssl(), &o->hint, o);
		}
	}
	for (int i = 0; i < OWNERS; i++)
		contexts_drop(&set, tcpcrypt_crypto_openssl(), &owners[i].hint, &owners[i]);
	free(owners);
	return right ? data : NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	void *result;

	assert_non_null(tcpcrypt_crypto_openssl());
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, (void *)(i + 1)), 0);
	for (int i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &result), 0);
		assert_non_null(result);
	}
}

/* What a thread had in use when its process forked is nobody's in the child. */
static void test_fork(void **state)
{
	static struct owner owners[1000];
	struct context *held;
	int status;
	pid_t pid;

	make_key(&owners[0], 1);
	assert_int_equal(get(&set, tcpcrypt_crypto_openssl(), &owners[0], &held), 0);
	pid = fork();
	if (!pid) {
		bool right = true;

		contexts_forked(&set);
		for (int i = 0; i < 1000; i++) {
			make_key(&owners[i], i + 1);
			right = right && has_own_key(&owners[i]);
		}
		_exit(right ? 0 : 1);
	}
	contexts_put(held);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	contexts_drop(&set, tcpcrypt_crypto_openssl(), &owners[0].hint, &owners[0]);
}

static bool exhausted;

static int new_or_not(uint16_t aead, struct tcpcrypt_aead **ret)
{
	return exhausted ? TCPCRYPT_E_NOMEM : tcpcrypt_crypto_openssl()->aead_new(aead, ret);
}

/* Who had a context has one without memory for more, though there are fewer than owners. */
static void test_without_memory(void **state)
{
	static struct owner owners[OWNERS];
	static struct contexts few;
	struct tcpcrypt_crypto backend = *tcpcrypt_crypto_openssl();
	uint8_t got[SEALED_LEN], want[SEALED_LEN];
	struct context *c;

	backend.aead_new = new_or_not;
	for (int round = 0; round < 4; round++) {
		exhausted = round > 0;
		for (int i = 0; i < OWNERS; i++) {
			struct owner *o = &owners[i];

			if (!round || i % 2)
				make_key(o, 1 + i + OWNERS * round * 3);
			assert_int_equal(get(&few, &backend, o, &c), 0);
			seal(context_aead(c), got);
			contexts_put(c);
			seal_alone(o, want);
			assert_memory_equal(got, want, sizeof(want));
		}
	}
	exhausted = false;
	contexts_deinit(&few, &backend);
	/* With none of its kind there is nothing to be done. */
	memset(&few, 0, sizeof(few));
	exhausted = true;
	assert_int_equal(get(&few, &backend, &owners[0], &c), TCPCRYPT_E_NOMEM);
	exhausted = false;
	assert_int_equal(get(&few, &backend, &owners[0], &c), 0);
	contexts_put(c);
	contexts_deinit(&few, &backend);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_fork),
		cmocka_unit_test(test_without_memory),
	};

	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	contexts_deinit(&set, tcpcrypt_crypto_openssl());
	return failed;
}
