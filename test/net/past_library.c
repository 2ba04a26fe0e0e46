// SPDX-License-Identifier: BSD-2-Clause
/*
 * A program that talks to a server as programs do, and then writes to its connection past the C
 * library: `past_library HOW ADDRESS PORT TEXT`. HOW: "none" does not, "write" uses a bare system
 * call, "syscall" the C library's syscall(), "ring" an io_uring without liburing. Prints what the
 * server answered to the first word, what the write returned, and how the connection went on.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static long bare(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	long r;

	__asm__ volatile("syscall"
			 : "=a"(r)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return r;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = number;
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0"
			 : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
			 : "memory");
	return x0;
#else
	exit(77);
#endif
}

/* One write through a ring that was made for it. */
static long ring_write(int fd, const char *text, size_t len)
{
	struct io_uring_params p = {};
	int ring = bare(SYS_io_uring_setup, 1, (long)&p, 0, 0, 0, 0);
	size_t size = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	struct io_uring_sqe *sqe;
	uint8_t *rings;

	if (ring < 0)
		return ring;
	rings = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqe = mmap(NULL, sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (rings == MAP_FAILED || sqe == MAP_FAILED)
		return -errno;
	*sqe = (struct io_uring_sqe){
		.opcode = IORING_OP_SEND, .fd = fd, .addr = (uintptr_t)text, .len = len
	};
	((uint32_t *)(void *)(rings + p.sq_off.array))[0] = 0;
	atomic_store((_Atomic uint32_t *)(void *)(rings + p.sq_off.tail), 1);
	if (bare(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1)
		return -EIO;
	return ((struct io_uring_cqe *)(void *)(rings + p.cq_off.cqes))->res;
}

static long write_past(const char *how, int fd, const char *text, size_t len)
{
	if (!strcmp(how, "write"))
		return bare(SYS_write, fd, (long)text, len, 0, 0, 0);
	if (!strcmp(how, "ring"))
		return ring_write(fd, text, len);
	return syscall(strcmp(how, "syscall") ? SYS_getpid : SYS_write, fd, text, len);
}

static void hear(int fd)
{
	char answer[4096];
	ssize_t n = recv(fd, answer, sizeof(answer) - 1, 0);

	if (n < 0) {
		printf("error %d\n", errno);
		return;
	}
	answer[n] = '\0';
	printf("heard %s\n", answer);
}

int main(int argc, char **argv)
{
	const struct timeval patience = { .tv_sec = 20 };
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	long r;

	if (argc != 5 || inet_pton(AF_INET, argv[2], &to.sin_addr) != 1)
		return 2;
	to.sin_port = htons(atoi(argv[3]));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&to, sizeof(to)))
		return 1;
	if (send(fd, "first", 5, 0) != 5)
		return 1;
	hear(fd);
	r = write_past(argv[1], fd, argv[4], strlen(argv[4]));
	printf("wrote %s\n", r > 0 ? "it" : strerror(-r));
	if (!strcmp(argv[1], "none") && send(fd, argv[4], strlen(argv[4]), 0) < 0)
		return 1;
	hear(fd);
	return 0;
}
