/* SPDX-License-Identifier: BSD-2-Clause */
#include "core/cursor.h"
#include "core/eno_option.h"
#include "core/eno_scan.h"

static void add_tep(struct eno_option *decoded, const struct eno_scan *scan, const uint8_t *octet,
		    bool length_byte)
{
	decoded->teps[decoded->n_teps++] = (struct eno_suboption){
		.octet = *octet,
		.length_byte = length_byte,
		.data = octet + 1,
		.data_len = scan->data_left,
	};
}

/* 8547-4.2-2: only the first global suboption counts. */
static void add_global(struct eno_option *decoded, uint8_t octet)
{
	if (!decoded->explicit_global)
		decoded->global = octet;
	decoded->explicit_global = true;
}

int eno_option_decode(const uint8_t *option, size_t len, struct eno_option *ret)
{
	struct eno_option decoded = { 0 };
	struct eno_scan scan = { 0 };

	if (len < WIRE_OPTION_HEADER_LEN || len > TCPCRYPT_ENO_OPTION_MAX ||
	    option[0] != TCPCRYPT_ENO_KIND || option[1] != len)
		return TCPCRYPT_ENO_ILL_FORMED;
	for (size_t i = WIRE_OPTION_HEADER_LEN; i < len; i++) {
		bool length_byte = scan.expect == ENO_SCAN_EXPECT_TEP;

		switch (eno_scan_byte(&scan, option[i], (uint32_t)(len - i - 1))) {
		case ENO_SCAN_GLOBAL:
			add_global(&decoded, option[i]);
			break;
		case ENO_SCAN_TEP:
			add_tep(&decoded, &scan, &option[i], length_byte);
			break;
		case ENO_SCAN_BAD:
			/* 8547-4.4-5 */
			return TCPCRYPT_ENO_ILL_FORMED;
		case ENO_SCAN_NOTHING:
			break;
		}
	}
	*ret = decoded;
	return 0;
}

size_t eno_option_count(const struct eno_option *option, uint8_t tep,
			const struct eno_suboption **ret_last)
{
	size_t n = 0;

	*ret_last = NULL;
	for (size_t i = 0; i < option->n_teps; i++) {
		if ((option->teps[i].octet & ENO_GLT) != tep)
			continue;
		*ret_last = &option->teps[i];
		n++;
	}
	return n;
}

/* One option of a TCP header. *ret_len is 0 at the end of the list or where it is broken. */
static const uint8_t *next_option(struct reader *area, size_t *ret_len)
{
	const uint8_t *option = area->at;
	uint8_t kind = reader_u8(area);
	uint8_t len;

	*ret_len = 0;
	if (area->failed || kind == WIRE_OPTION_END)
		return option;
	if (kind == WIRE_OPTION_NOP) {
		*ret_len = 1;
		return option;
	}
	len = reader_u8(area);
	if (len < WIRE_OPTION_HEADER_LEN || !reader_bytes(area, len - WIRE_OPTION_HEADER_LEN))
		return option;
	*ret_len = len;
	return option;
}

size_t eno_option_find(const uint8_t *area, size_t len, const uint8_t **ret_option, size_t *ret_len)
{
	struct reader r = reader_over(area, len);
	const uint8_t *option;
	size_t n = 0, option_len;

	*ret_option = NULL;
	*ret_len = 0;
	for (;;) {
		option = next_option(&r, &option_len);
		if (option_len == 0)
			return n;
		/* 8547-11-2: kind 69 and not the experimental 253. */
		if (option[0] != TCPCRYPT_ENO_KIND)
			continue;
		if (n++ == 0) {
			*ret_option = option;
			*ret_len = option_len;
		}
	}
}
