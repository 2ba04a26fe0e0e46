/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a destination is remembered that again turned out to swallow SYNs with ENO. */
#ifndef ENGINE_EXPIRY_H
#define ENGINE_EXPIRY_H

#define EXPIRY_MAX_SECONDS (24 * 60 * 60)

/* before: the last time's seconds, 0: there was none; first: those of the first time. */
static inline unsigned int expiry_next(unsigned int before, unsigned int first)
{
	if (before < first)
		return first;
	if (before >= EXPIRY_MAX_SECONDS / 2)
		return first > EXPIRY_MAX_SECONDS ? first : EXPIRY_MAX_SECONDS;
	return before * 2;
}

#endif
