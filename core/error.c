/* SPDX-License-Identifier: BSD-2-Clause */
#include <tcpcrypt/error.h>

const char *tcpcrypt_error_name(int error)
{
	switch (error) {
	case TCPCRYPT_E_BAD_MAGIC:
		return "bad-magic";
	case TCPCRYPT_E_BAD_INIT:
		return "bad-init";
	case TCPCRYPT_E_NO_CIPHER:
		return "no-cipher";
	case TCPCRYPT_E_BAD_CIPHER:
		return "bad-cipher";
	case TCPCRYPT_E_BAD_KEY:
		return "bad-key";
	case TCPCRYPT_E_BAD_FRAME:
		return "bad-frame";
	case TCPCRYPT_E_AUTH:
		return "auth-failed";
	case TCPCRYPT_E_TRUNCATED:
		return "truncated";
	case TCPCRYPT_E_AFTER_FIN:
		return "after-fin";
	case TCPCRYPT_E_CRYPTO:
		return "crypto-failed";
	case TCPCRYPT_E_RANDOM:
		return "no-randomness";
	case TCPCRYPT_E_NOMEM:
		return "no-memory";
	case TCPCRYPT_E_LIMIT:
		return "limit";
	case TCPCRYPT_E_STATE:
		return "wrong-state";
	case TCPCRYPT_E_ARGUMENT:
		return "bad-argument";
	case TCPCRYPT_E_SYSTEM:
		return "system";
	case TCPCRYPT_E_PLAIN:
		return "plain";
	case TCPCRYPT_E_NO_ENGINE:
		return "no-engine";
	default:
		return "unknown";
	}
}
