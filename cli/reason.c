/* SPDX-License-Identifier: BSD-2-Clause */
#include "reason.h"

#include <stddef.h>
#include <string.h>

static const struct reason {
	const char *name;
	enum reason_kind kind;
	const char *words;
} reasons[] = {
	{ "no-eno", REASON_PLAIN, "the far end did not answer the offer to encrypt" },
	{ "ack-without-eno", REASON_PLAIN, "the last step of the offer never came" },
	{ "no-common-tep", REASON_PLAIN, "no key exchange in common" },
	{ "ill-formed", REASON_PLAIN, "the far end's offer was malformed" },
	{ "vacuous", REASON_PLAIN, "the far end offered no way to encrypt" },
	{ "role-conflict", REASON_PLAIN, "both ends claimed the same role" },
	{ "not-app-aware", REASON_PLAIN, "the far end's application is not aware of ENO" },
	{ "remembered", REASON_PLAIN, "this destination was plain a short while ago" },
	{ "syn-retries", REASON_PLAIN, "no answer came until the offer was left out" },
	{ "syn-cookie", REASON_PLAIN, "this host was flooded and used SYN cookies" },

	{ "bad-magic", REASON_FAILED, "the far end agreed to encrypt and then did not" },
	{ "bad-init", REASON_FAILED, "impossible key exchange message" },
	{ "no-cipher", REASON_FAILED, "no cipher in common" },
	{ "bad-cipher", REASON_FAILED, "the far end chose a cipher that was not offered" },
	{ "bad-key", REASON_FAILED, "the far end's public key is not valid" },
	{ "bad-frame", REASON_FAILED, "impossible encrypted frame" },
	{ "auth-failed", REASON_FAILED, "data was changed on the way" },
	{ "truncated", REASON_FAILED, "cut off before the end of the data" },
	{ "after-fin", REASON_FAILED, "data after the end of the data" },
	{ "crypto-failed", REASON_FAILED, "the cryptographic library failed" },
	{ "no-randomness", REASON_FAILED, "no randomness" },
	{ "no-memory", REASON_FAILED, "no memory" },
	{ "limit", REASON_FAILED, "a counter was used up" },
	{ "wrong-state", REASON_FAILED, "internal error" },
	{ "bad-argument", REASON_FAILED, "internal error" },
	{ "unknown", REASON_FAILED, "internal error" },
	{ "reset", REASON_FAILED, "reset from the network" },
	{ "timeout", REASON_FAILED, "no answer" },
	{ "refused", REASON_FAILED, "connection refused" },
	{ "unreachable", REASON_FAILED, "destination unreachable" },
	{ "local-reset", REASON_FAILED, "reset by the local application" },
	{ "handshake-timeout", REASON_FAILED, "the key exchange took too long" },
	{ "tep-mandatory", REASON_FAILED, "the program wants no plain connection" },
	{ "exhausted", REASON_FAILED, "no descriptor or memory for it" },
	{ "policy", REASON_FAILED, "policy requires encryption, and there was none" },
	{ "daemon", REASON_FAILED, "the daemon could not handle it" },

	{ "no-session", REASON_FRESH, "no earlier session to resume" },
	{ "unknown-session", REASON_FRESH, "the passive end did not know the session offered" },
	{ "busy", REASON_FRESH, "too many connections at the same time" },
	{ "no-room", REASON_FRESH, "no room in the TCP header" },
	{ "unwanted", REASON_FRESH, "the program wants none" },
	{ "off", REASON_FRESH, "switched off in the configuration" },
};

static const struct reason *find(const char *name)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (strcmp(reasons[i].name, name) == 0)
			return &reasons[i];
	}
	return NULL;
}

enum reason_kind reason_kind(const char *name)
{
	const struct reason *reason = find(name);

	return reason ? reason->kind : REASON_UNKNOWN;
}

const char *reason_words(const char *name)
{
	const struct reason *reason = find(name);

	return reason ? reason->words : NULL;
}
