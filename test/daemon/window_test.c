// SPDX-License-Identifier: BSD-2-Clause
/* Identifiers leave the map of the BPF programs late and many at a time, but never those that have come
 * back meanwhile. The kernel's map is played by the test. */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "engine/window.h"
#include "test/unit/unit.h"

#define IDENTIFIERS 256

static bool there[IDENTIFIERS];

static uint8_t number_of(const void *half)
{
	return ((const struct shared_half *)half)->bytes[0];
}

static struct shared_half half_of(uint8_t number)
{
	return (struct shared_half){ .tep = 3, .bytes = { number } };
}

int bpf_map_get_next_key(int fd, const void *key, void *next)
{
	for (unsigned int i = key ? number_of(key) + 1 : 0; i < IDENTIFIERS; i++) {
		if (!there[i])
			continue;
		*(struct shared_half *)next = half_of(i);
		return 0;
	}
	return -ENOENT;
}

int bpf_map_lookup_elem(int fd, const void *key, void *value)
{
	return there[number_of(key)] ? 0 : -ENOENT;
}

int bpf_map_delete_elem(int fd, const void *key)
{
	there[number_of(key)] = false;
	return 0;
}

int bpf_map_update_batch(int fd, const void *keys, const void *values, __u32 *count,
			 const struct bpf_map_batch_opts *opts)
{
	const struct shared_half *halves = keys;

	for (__u32 i = 0; i < *count; i++)
		there[number_of(&halves[i])] = true;
	return 0;
}

int bpf_map_delete_batch(int fd, const void *keys, __u32 *count,
			 const struct bpf_map_batch_opts *opts)
{
	const struct shared_half *halves = keys;

	for (__u32 i = 0; i < *count; i++) {
		if (!there[number_of(&halves[i])]) {
			*count = i;
			return -ENOENT;
		}
		there[number_of(&halves[i])] = false;
	}
	return 0;
}

static void open_window(struct window *w)
{
	int fd = memfd_create("claims", 0);

	memset(there, 0, sizeof(there));
	memset(w, 0, sizeof(*w));
	assert_int_equal(ftruncate(fd, SHARED_CLAIMS_MAX * sizeof(struct shared_claim)), 0);
	assert_int_equal(window_open(w, -1, fd, 0, IDENTIFIERS), 0);
	close(fd);
}

static void add(struct window *w, uint8_t number, uint64_t token)
{
	struct shared_half half = half_of(number);
	struct shared_resumption secret = { .token = token, .slot = number };

	assert_int_equal(window_add(w, &half, &secret, 1), 0);
}

static bool take(struct window *w, uint8_t number, uint64_t token)
{
	struct shared_half half = half_of(number);

	return window_take(w, &half, number, token);
}

static void test_late(void **state)
{
	struct window w;

	open_window(&w);
	for (unsigned int i = 0; i < WINDOW_USED_MAX; i++)
		add(&w, i, 1);
	for (unsigned int i = 0; i < WINDOW_USED_MAX; i++) {
		assert_true(there[0]);
		assert_false(take(&w, i, 2));
		assert_true(take(&w, i, 1));
		assert_false(take(&w, i, 1));
	}
	for (unsigned int i = 0; i < WINDOW_USED_MAX; i++)
		assert_false(there[i]);
	window_close(&w);
}

/* A chain gives secrets back for room, and derives them once more. */
static void test_back(void **state)
{
	struct window w;

	open_window(&w);
	for (unsigned int i = 0; i < 2 * WINDOW_USED_MAX; i++)
		add(&w, i, 1);
	for (unsigned int i = 0; i < 4; i++)
		assert_true(take(&w, i, 1));
	add(&w, 0, 2);
	add(&w, 3, 2);
	for (unsigned int i = 4; i < 2 * WINDOW_USED_MAX; i++)
		assert_true(take(&w, i, 1));
	assert_true(there[0]);
	assert_false(there[1]);
	assert_true(there[3]);
	assert_true(take(&w, 0, 2));
	assert_false(take(&w, 3, 1));
	window_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_late),
		cmocka_unit_test(test_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
