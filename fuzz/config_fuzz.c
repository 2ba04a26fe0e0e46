/* SPDX-License-Identifier: BSD-2-Clause */
/* Any bytes as a configuration file: refused with a message, or a configuration that can be
 * used as it is. */
#include "daemon/config.h"
#include "fuzz/fuzz.h"

static void check(const struct config *c)
{
	FUZZ_EXPECT(c->n_teps >= 1 && c->n_teps <= SHARED_TEPS_MAX);
	FUZZ_EXPECT(c->n_aeads >= 1 && c->n_aeads <= TCPCRYPT_AEADS_MAX);
	for (size_t i = 0; i < c->n_teps; i++) {
		FUZZ_EXPECT(config_tep_name(c->teps[i]));
		for (size_t j = 0; j < i; j++)
			FUZZ_EXPECT(c->teps[i] != c->teps[j]);
	}
	for (size_t i = 0; i < c->n_aeads; i++)
		FUZZ_EXPECT(config_aead_name(c->aeads[i]));
	FUZZ_EXPECT(!(c->left_alone[0] & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char error[CONFIG_ERROR_MAX] = "";
	static struct config c;
	FILE *f;

	if (!len)
		return 0;
	f = fmemopen((void *)(uintptr_t)data, len, "r");
	FUZZ_EXPECT(f);
	if (config_read_stream(&c, f, "fuzz", error) == 0) {
		FUZZ_EXPECT(!*error);
		check(&c);
		config_free(&c);
	} else {
		FUZZ_EXPECT(!strncmp(error, "fuzz:", 5) && memchr(error, '\0', sizeof(error)));
	}
	fclose(f);
	return 0;
}
