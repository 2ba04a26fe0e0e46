/* SPDX-License-Identifier: BSD-2-Clause */
/* What one daemon leaves to the next that replaces it: descriptors, by kind and name. */
#ifndef ENGINE_HERITAGE_H
#define ENGINE_HERITAGE_H

#include <stddef.h>

#define HERITAGE_MAX	  128 /* descriptors */
#define HERITAGE_NAME_MAX 48

struct heritage {
	struct {
		char name[HERITAGE_NAME_MAX];
		int fd;
	} item[HERITAGE_MAX];
	size_t n;
};

/* The descriptor stays the caller's. 0, or -E2BIG: too many, or the name is too long. */
int heritage_add(struct heritage *h, const char *kind, const char *name, int fd);

/* The descriptor of that name, or -1; taken, it is the caller's from then on. */
int heritage_look(const struct heritage *h, const char *kind, const char *name);
int heritage_take(struct heritage *h, const char *kind, const char *name);

/* Closes what has not been taken. */
void heritage_close(struct heritage *h);

#endif
