/* SPDX-License-Identifier: BSD-2-Clause */
/* The part of <tcpcrypt/session.h> that needs malloc(), and so is no part of core/. */
#include <stdlib.h>

#include <tcpcrypt/session.h>

struct tcpcrypt_session *tcpcrypt_session_new(const struct tcpcrypt_session_params *p,
					      int *ret_error)
{
	struct tcpcrypt_session *s = malloc(tcpcrypt_session_size());
	int r = TCPCRYPT_E_NOMEM;

	if (s)
		r = tcpcrypt_session_init(s, p);
	else if (p->keypair && p->crypto)
		p->crypto->keypair_free(p->keypair);
	if (r < 0) {
		free(s);
		s = NULL;
	}
	if (ret_error)
		*ret_error = r;
	return s;
}

void tcpcrypt_session_free(struct tcpcrypt_session *s)
{
	tcpcrypt_session_deinit(s);
	free(s);
}
