// SPDX-License-Identifier: BSD-2-Clause
#include "lib/process.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

/* The kernel wipes it in each child with memory of its own, however that was made: pthread_atfork()
 * knows nothing of _Fork() and clone(). */
static _Atomic unsigned int *process;
static _Atomic unsigned int last_process;

static void page_make(void)
{
	const size_t size = sysconf(_SC_PAGESIZE);
	void *page = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return;
	if (madvise(page, size, MADV_WIPEONFORK))
		munmap(page, size);
	else
		process = page;
}

bool process_watch(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, page_make);
	return process;
}

unsigned int process_number(void)
{
	unsigned int number = *process, made;

	if (number)
		return number;
	/* Never one that a process had from which this one descends. */
	made = ++last_process;
	return atomic_compare_exchange_strong(process, &number, made) ? made : number;
}
