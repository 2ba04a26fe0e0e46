// SPDX-License-Identifier: BSD-2-Clause
#include "engine/heritage.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int heritage_add(struct heritage *h, const char *kind, const char *name, int fd)
{
	char *to;

	if (h->n == HERITAGE_MAX)
		return -E2BIG;
	to = h->item[h->n].name;
	if (snprintf(to, HERITAGE_NAME_MAX, "%s %s", kind, name) >= HERITAGE_NAME_MAX)
		return -E2BIG;
	h->item[h->n++].fd = fd;
	return 0;
}

static int find(const struct heritage *h, const char *kind, const char *name)
{
	char wanted[HERITAGE_NAME_MAX];

	snprintf(wanted, sizeof(wanted), "%s %s", kind, name);
	for (size_t i = 0; i < h->n; i++)
		if (!strcmp(h->item[i].name, wanted))
			return (int)i;
	return -1;
}

int heritage_look(const struct heritage *h, const char *kind, const char *name)
{
	int i = find(h, kind, name);

	return i < 0 ? -1 : h->item[i].fd;
}

int heritage_take(struct heritage *h, const char *kind, const char *name)
{
	int i = find(h, kind, name);
	int fd = i < 0 ? -1 : h->item[i].fd;

	if (i >= 0)
		h->item[i].fd = -1;
	return fd;
}

void heritage_close(struct heritage *h)
{
	for (size_t i = 0; i < h->n; i++)
		if (h->item[i].fd >= 0)
			close(h->item[i].fd);
	h->n = 0;
}
