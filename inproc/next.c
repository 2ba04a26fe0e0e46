// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/next.h"

#include <dlfcn.h>

struct next next_calls;
atomic_bool next_found;

/* ISO C has no conversion from an object's pointer to a function's; POSIX has. */
#define FIND(name) *(void **)&next_calls.name = dlsym(RTLD_NEXT, #name)

/* Finding twice, by two threads at once, does no harm. Only what every C library has: dlsym() says in memory
 * from malloc() what it does not find, and malloc() may be who calls. */
__attribute__((constructor(101))) void next_find(void)
{
	FIND(read);
	FIND(readv);
	FIND(preadv2);
	FIND(recv);
	FIND(recvfrom);
	FIND(recvmsg);
	FIND(recvmmsg);
	FIND(write);
	FIND(writev);
	FIND(pwritev2);
	FIND(send);
	FIND(sendto);
	FIND(sendmsg);
	FIND(sendmmsg);
	FIND(sendfile);
	FIND(splice);
	FIND(close);
	FIND(close_range);
	FIND(shutdown);
	FIND(dup);
	FIND(dup2);
	FIND(dup3);
	FIND(fcntl);
	FIND(ioctl);
	FIND(getsockopt);
	FIND(setsockopt);
	FIND(socket);
	FIND(socketpair);
	FIND(connect);
	FIND(listen);
	FIND(accept);
	FIND(accept4);
	FIND(poll);
	FIND(ppoll);
	FIND(select);
	FIND(pselect);
	FIND(epoll_ctl);
	FIND(epoll_wait);
	FIND(epoll_pwait);
	FIND(fdopen);
	FIND(freopen);
	FIND(fileno);
	FIND(_exit);
	FIND(execve);
	FIND(execvpe);
	FIND(fexecve);
	FIND(execveat);
	FIND(posix_spawn);
	FIND(posix_spawnp);
	FIND(system);
	FIND(popen);
	FIND(fork);
	FIND(sigaction);
	FIND(signal);
	FIND(sysv_signal);
	FIND(sigset);
	FIND(siginterrupt);
	FIND(vfork);
	FIND(syscall);
	FIND(prctl);
	FIND(capset);
	atomic_store_explicit(&next_found, true, memory_order_release);
}
