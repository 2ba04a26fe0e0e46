/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "test/unit/vectors.h"

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	if (!f)
		fail_msg("cannot open %s", path);
	if (getdelim(&text, &room, '\0', f) < 0)
		fail_msg("cannot read %s", path);
	fclose(f);
	return text;
}

/* jansson has no unsigned integers; where a vector needs one it is there in hexadecimal too. */
static void blank_out(char *text, const char *number)
{
	while ((text = strstr(text, number))) {
		memset(text, ' ', strlen(number));
		text[0] = '0';
	}
}

json_t *vectors_load(const char *name)
{
	char path[512];
	json_error_t error;
	json_t *root;
	char *text;

	snprintf(path, sizeof(path), "%s/%s", VECTORS_DIR, name);
	text = read_file(path);
	blank_out(text, "18446744073709551615");
	root = json_loads(text, 0, &error);
	free(text);
	if (!root)
		fail_msg("%s: %s", path, error.text);
	return root;
}

void vectors_run(const char *name, const char *section, vectors_case_fn *run)
{
	json_t *root = vectors_load(name);
	const json_t *counts = vectors_member(vectors_member(root, "header"), "counts");
	const json_t *cases = vectors_member(root, section);
	size_t ran = 0, i;
	json_t *c;

	json_array_foreach(cases, i, c)
	{
		print_message("  %s\n", vectors_text(c, "id"));
		run(c);
		ran++;
	}
	assert_int_equal(ran, vectors_integer(counts, section));
	assert_true(ran > 0);
	json_decref(root);
}

const json_t *vectors_member(const json_t *c, const char *key)
{
	const json_t *value = json_object_get(c, key);

	if (!value)
		fail_msg("no member %s", key);
	return value;
}

const char *vectors_text(const json_t *c, const char *key)
{
	return json_string_value(json_object_get(c, key));
}

bool vectors_bool(const json_t *c, const char *key)
{
	return json_is_true(vectors_member(c, key));
}

uint64_t vectors_integer(const json_t *c, const char *key)
{
	const json_t *value = vectors_member(c, key);

	if (!json_is_integer(value))
		fail_msg("%s is no integer", key);
	return (uint64_t)json_integer_value(value);
}

struct bytes vectors_hex(const char *hex)
{
	struct bytes b = { NULL, 0 };

	if (!hex)
		return b;
	b.len = strlen(hex) / 2;
	b.data = malloc(b.len + 1);
	assert_non_null(b.data);
	for (size_t i = 0; i < b.len; i++) {
		unsigned int byte;

		assert_int_equal(sscanf(hex + 2 * i, "%2x", &byte), 1);
		b.data[i] = (uint8_t)byte;
	}
	return b;
}

struct bytes vectors_bytes(const json_t *c, const char *key)
{
	return vectors_hex(vectors_text(c, key));
}

struct bytes vectors_data(const json_t *frame)
{
	const json_t *gen = json_object_get(frame, "data_gen");
	struct bytes b;
	uint64_t seed;

	if (!gen)
		return vectors_bytes(frame, "data");
	seed = vectors_integer(gen, "seed");
	b.len = vectors_integer(gen, "len");
	b.data = malloc(b.len);
	assert_non_null(b.data);
	for (size_t i = 0; i < b.len; i++)
		b.data[i] = (uint8_t)(seed + 167 * i + 13 * (i >> 8));
	return b;
}

void vectors_expect(const json_t *c, const char *key, const uint8_t *data, size_t len)
{
	struct bytes expected = vectors_bytes(c, key);

	if (!expected.data)
		fail_msg("no member %s", key);
	assert_int_equal(len, expected.len);
	if (len)
		assert_memory_equal(data, expected.data, len);
	free(expected.data);
}
