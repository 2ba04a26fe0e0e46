/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Test vectors at run time: loads a file of test/vectors/, takes values out of it and sees to
 * it that every case ran. Anything unexpected in a file fails the running test.
 */
#ifndef TEST_UNIT_VECTORS_H
#define TEST_UNIT_VECTORS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes that a vector gives in hexadecimal, or that a test collects. */
struct bytes {
	uint8_t *data;
	size_t len;
};

/* A file of test/vectors/; the caller gives it back with json_decref(). */
json_t *vectors_load(const char *name);

typedef void vectors_case_fn(const json_t *c);

/* Runs all cases of one section, as many as the file's header promises; prints the failing id. */
void vectors_run(const char *name, const char *section, vectors_case_fn *run);

/* Members of a case. text and bytes give NULL for null or a missing member. */
const char *vectors_text(const json_t *c, const char *key);
bool vectors_bool(const json_t *c, const char *key);
uint64_t vectors_integer(const json_t *c, const char *key);
const json_t *vectors_member(const json_t *c, const char *key);

/* The caller frees data. */
struct bytes vectors_bytes(const json_t *c, const char *key);
struct bytes vectors_hex(const char *hex);

/* The bytes of member key, or what its data_gen describes. */
struct bytes vectors_data(const json_t *frame);

/* Is the member equal to these bytes? Fails the test with both in hexadecimal if not. */
void vectors_expect(const json_t *c, const char *key, const uint8_t *data, size_t len);

#endif
