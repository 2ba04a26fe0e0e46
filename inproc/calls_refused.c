// SPDX-License-Identifier: BSD-2-Clause
/* Ways of doing I/O that cannot be followed: refused, or else nothing is negotiated. */
#include <aio.h>
#include <dlfcn.h>

#include "inproc/calls.h"
#include "inproc/settings.h"

struct io_uring;
struct io_uring_params;

/* Programs with io_uring write to their sockets without any call that could be seen. What was
 * negotiated before stays encrypted, and the engine's guard is behind what we miss. */
CALL int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags);
CALL int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				    struct io_uring_params *params);

CALL int io_uring_queue_init(unsigned int entries, struct io_uring *ring, unsigned int flags)
{
	int (*following)(unsigned int, struct io_uring *, unsigned int);

	settings_off();
	*(void **)&following = dlsym(RTLD_NEXT, "io_uring_queue_init");
	return following(entries, ring, flags);
}

CALL int io_uring_queue_init_params(unsigned int entries, struct io_uring *ring,
				    struct io_uring_params *params)
{
	int (*following)(unsigned int, struct io_uring *, struct io_uring_params *);

	settings_off();
	*(void **)&following = dlsym(RTLD_NEXT, "io_uring_queue_init_params");
	return following(entries, ring, params);
}

/* The C library's own threads read and write there. */
static int aio(struct aiocb *request, const char *name)
{
	int (*following)(struct aiocb *);

	if (table_get(request->aio_fildes))
		return calls_result(-ENOTSUP);
	*(void **)&following = dlsym(RTLD_NEXT, name);
	return following(request);
}

static int list(int mode, struct aiocb *const requests[], int n, struct sigevent *event,
		const char *name)
{
	int (*following)(int, struct aiocb *const[], int, struct sigevent *);

	for (int i = 0; i < n; i++)
		if (requests[i] && table_get(requests[i]->aio_fildes))
			return calls_result(-ENOTSUP);
	*(void **)&following = dlsym(RTLD_NEXT, name);
	return following(mode, requests, n, event);
}

CALL int lio_listio(int mode, struct aiocb *const requests[], int n, struct sigevent *event)
{
	return list(mode, requests, n, event, "lio_listio");
}

CALL int lio_listio64(int mode, struct aiocb64 *const requests[], int n, struct sigevent *event)
{
	return list(mode, (struct aiocb *const *)(const void *)requests, n, event, "lio_listio64");
}

CALL int aio_read(struct aiocb *request)
{
	return aio(request, "aio_read");
}

CALL int aio_write(struct aiocb *request)
{
	return aio(request, "aio_write");
}

CALL int aio_read64(struct aiocb64 *request)
{
	return aio((struct aiocb *)(void *)request, "aio_read64");
}

CALL int aio_write64(struct aiocb64 *request)
{
	return aio((struct aiocb *)(void *)request, "aio_write64");
}
