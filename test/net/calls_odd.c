// SPDX-License-Identifier: BSD-2-Clause
/* More cases of `calls`: what few programs ask for, and the kernel answers all the same. */
#include "calls.h"
#include "passed.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void pause_ms(long ms)
{
	const struct timespec pause = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };

	nanosleep(&pause, NULL);
}

/* Does the thread sleep? */
static bool waits(pid_t tid)
{
	char path[64], state = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
	file = fopen(path, "r");
	if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
		state = 0;
	if (file)
		fclose(file);
	return state == 'S';
}

/* Until the thread sleeps, and goes on to: it is in the call that it was to make. */
static void until_it_waits(pid_t tid)
{
	for (int seen = 0; seen < 5; seen = waits(tid) ? seen + 1 : 0)
		pause_ms(10);
}

static void limit_set(int fd, int option, long ms)
{
	const struct timeval limit = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };

	setsockopt(fd, SOL_SOCKET, option, &limit, sizeof(limit));
}

/* ---- flags, lengths ---- */

void peeks_case(void)
{
	char buffer[64] = "untouched";
	int fd = connected();

	send_text(fd, "0123456789abcdef");
	all_has_come(fd, 16);
	tell("counted", recv(fd, buffer, 4, MSG_PEEK | MSG_TRUNC), NULL);
	printf("buffer: %s\n", buffer);
	tell("without a buffer", recv(fd, NULL, 5, MSG_PEEK | MSG_TRUNC), NULL);
	tell("all of it", recv(fd, NULL, 16, MSG_PEEK | MSG_TRUNC | MSG_WAITALL), NULL);
	echoed("still there", fd, 16);
}

/* What follows may come at any moment of a call that looks for it. */
void pieces_case(void)
{
	int fd = connected(), whole = 0;
	char buffer[16];

	for (int i = 0; i < 20000; i++) {
		send_text(fd, "write");
		send_text(fd, "send");
		all_has_come(fd, 9);
		whole += recv(fd, buffer, sizeof(buffer), 0) == 9 &&
			 !memcmp(buffer, "writesend", 9);
	}
	tell("of 20000", whole, NULL);
}

void nothing_case(void)
{
	char byte = 'x';
	struct iovec iov[3] = { { &byte, 0 }, { NULL, 0 }, { &byte, 0 } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 3 }, none = { .msg_iov = iov };
	int fd = connected();

	send_text(fd, "hello");
	echoed("hello", fd, 5);
	tell("recv", recv(fd, &byte, 0, MSG_DONTWAIT), NULL);
	tell("recv, without a buffer", recv(fd, NULL, 0, MSG_DONTWAIT), NULL);
	tell("recv, peeking", recv(fd, &byte, 0, MSG_DONTWAIT | MSG_PEEK), NULL);
	tell("recvmsg", recvmsg(fd, &message, MSG_DONTWAIT), NULL);
	tell("recvmsg, no pieces", recvmsg(fd, &none, MSG_DONTWAIT), NULL);
	tell("read", read(fd, &byte, 0), NULL);
	tell("readv", readv(fd, iov, 3), NULL);
	tell("readv, no pieces", readv(fd, iov, 0), NULL);
	tell("send", send(fd, &byte, 0, 0), NULL);
	tell("writev", writev(fd, iov, 3), NULL);
	tell("sendmsg", sendmsg(fd, &message, 0), NULL);
	send_text(fd, "y");
	tell("recv, waiting", recv(fd, &byte, 0, 0), NULL);
	all_has_come(fd, 1);
	tell("recv, of something", recv(fd, &byte, 0, MSG_DONTWAIT), NULL);
	echoed("it is still there", fd, 1);
	shutdown(fd, SHUT_WR);
	tell("the end", recv(fd, &byte, 1, 0), NULL);
	tell("recv, at the end", recv(fd, &byte, 0, MSG_DONTWAIT), NULL);
}

void limits_case(void)
{
	static char buffer[IOV_MAX + 1];
	static struct iovec iov[IOV_MAX + 1];
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = IOV_MAX + 1 };
	int fd = connected();

	for (int i = 0; i <= IOV_MAX; i++)
		iov[i] = (struct iovec){ buffer + i, 1 };
	tell("writev", writev(fd, iov, IOV_MAX), NULL);
	tell("echo", recv(fd, buffer, IOV_MAX, MSG_WAITALL), NULL);
	tell("writev, one too many", writev(fd, iov, IOV_MAX + 1), NULL);
	tell("readv, one too many", readv(fd, iov, IOV_MAX + 1), NULL);
	tell("sendmsg, one too many", sendmsg(fd, &message, 0), NULL);
	tell("recvmsg, one too many", recvmsg(fd, &message, MSG_DONTWAIT), NULL);
	iov[1].iov_len = SIZE_MAX;
	message.msg_iovlen = 2;
	tell("writev, too long", writev(fd, iov, 2), NULL);
	tell("readv, too long", readv(fd, iov, 2), NULL);
	tell("sendmsg, too long", sendmsg(fd, &message, 0), NULL);
	send_text(fd, "none of them was sent");
	echoed("what comes", fd, 21);
}

/* ---- what the kernel refuses for its form ---- */

static void control_forms(int fd)
{
	union {
		struct cmsghdr header;
		char room[2 * CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = IPPROTO_IP } };
	char text[] = "text";
	struct iovec iov = { text, 4 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
	const struct {
		const char *what;
		size_t len, control_len;
	} forms[] = {
		{ "control data, without a length", 0, sizeof(control) },
		{ "control data, too short", sizeof(struct cmsghdr) - 1, sizeof(control) },
		{ "control data, too long", sizeof(control) + 1, sizeof(control) },
		{ "control data, and a piece", CMSG_LEN(sizeof(int)), CMSG_SPACE(sizeof(int)) + 8 },
		{ "control data, and one without a length", CMSG_LEN(sizeof(int)),
		  sizeof(control) },
		{ "control data", CMSG_LEN(sizeof(int)), CMSG_SPACE(sizeof(int)) },
		{ "control data, not padded", CMSG_LEN(sizeof(int)), CMSG_LEN(sizeof(int)) },
		{ "control data, less than one", 0, 8 },
	};

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
		control.header.cmsg_len = forms[i].len;
		message.msg_controllen = forms[i].control_len;
		tell(forms[i].what, sendmsg(fd, &message, 0), NULL);
	}
	echoed("sent", fd, 16);
}

static void address_forms(int fd)
{
	static char address[200];
	struct sockaddr *to = (struct sockaddr *)address;

	tell("to an address", sendto(fd, "text", 4, 0, to, 16), NULL);
	tell("to a long one", sendto(fd, "text", 4, 0, to, sizeof(struct sockaddr_storage)), NULL);
	tell("to a longer one", sendto(fd, "text", 4, 0, to, sizeof(address)), NULL);
	tell("to one of no length", sendto(fd, "text", 4, 0, to, -1), NULL);
	tell("to none", sendto(fd, "text", 4, 0, NULL, sizeof(address)), NULL);
	echoed("sent", fd, 12);
}

static void vector_forms(int fd)
{
	char buffer[] = "text";
	struct iovec iov = { buffer, 4 }, nothing = { buffer, 0 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };

	tell("pwritev2, unknown flags", pwritev2(fd, &iov, 1, -1, 1 << 30), NULL);
	tell("pwritev2, of nothing", pwritev2(fd, &nothing, 1, -1, 1 << 30), NULL);
	tell("pwritev2, known flags", pwritev2(fd, &iov, 1, -1, RWF_DSYNC | RWF_APPEND), NULL);
	all_has_come(fd, 4);
	tell("preadv2, unknown flags", preadv2(fd, &iov, 1, -1, 1 << 30), NULL);
	tell("preadv2, of nothing", preadv2(fd, &nothing, 1, -1, 1 << 30), NULL);
	tell("preadv2, at a place", preadv2(fd, &iov, 1, 0, 1 << 30), NULL);
	tell("recvmmsg, of none", recvmmsg(fd, NULL, 0, MSG_DONTWAIT, NULL), NULL);
	tell("recvmsg", recvmsg(fd, &message, MSG_CMSG_CLOEXEC), buffer);
	tell("flags", message.msg_flags, NULL);
}

static void option_forms(int fd)
{
	static const socklen_t lengths[] = { 0, 1, 4, 8, -1 };
	char value[8];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		socklen_t len = lengths[i];
		int n = 2;

		tell("SO_RCVLOWAT", setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &n, len), NULL);
		tell("is", getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, value, &len), NULL);
		tell("of length", (int)len, value);
		n = 1;
		len = lengths[i];
		tell("TCP_FASTOPEN_CONNECT",
		     setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &n, len), NULL);
	}
	tell("TCP_ULP", setsockopt(fd, IPPROTO_TCP, TCP_ULP, "", 0), NULL);
}

static void fastopen_forms(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), sockets[2];

	for (int on = -1; on < 3; on++) {
		tell("before connect()",
		     setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)), NULL);
		tell("short", setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, 3), NULL);
	}
	close(fd);
	tell("of none", setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &fd, sizeof(fd)), NULL);
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return;
	fd = 1;
	tell("of another kind",
	     setsockopt(sockets[0], IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &fd, sizeof(fd)), NULL);
}

void forms_case(void)
{
	int fd = connected();

	send_text(fd, "hello");
	echoed("hello", fd, 5);
	control_forms(fd);
	address_forms(fd);
	vector_forms(fd);
	option_forms(fd);
	fastopen_forms();
	send_text(fd, "last");
	echoed("last", fd, 4);
}

static void *trickle(void *data)
{
	until_it_waits(getpid());
	for (int i = 0; i < 20; i++) {
		pause_ms(100);
		send(*(int *)data, "x", 1, MSG_NOSIGNAL);
	}
	return NULL;
}

/* One time for all of its waits. */
void together_case(void)
{
	char buffer[20];
	int fd = connected();
	pthread_t thread;
	ssize_t n;

	send_text(fd, "hello");
	echoed("hello", fd, 5);
	limit_set(fd, SO_RCVTIMEO, 300);
	pthread_create(&thread, NULL, trickle, &fd);
	n = recv(fd, buffer, sizeof(buffer), MSG_WAITALL);
	printf("until its time is up: %s\n", n < (ssize_t)sizeof(buffer) ? "a part" : "all");
	pthread_join(thread, NULL);
}

static void *read_later(void *data)
{
	static char buffer[65536];

	/* Its time is up then. */
	until_it_waits(getpid());
	pause_ms(700);
	while (recv(*(int *)data, buffer, sizeof(buffer), 0) > 0)
		;
	return NULL;
}

/* Of a message that was sent in part the rest goes before the next one. */
void partial_case(void)
{
	const size_t size = 64 << 20;
	char second[] = "second";
	struct iovec iov[] = { { calloc(1, size), size }, { second, 6 } };
	struct mmsghdr messages[2] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 1 } },
				       { .msg_hdr = { .msg_iov = iov + 1, .msg_iovlen = 1 } } };
	int fd = connected();
	pthread_t thread;

	send_text(fd, "hello");
	echoed("hello", fd, 5);
	limit_set(fd, SO_SNDTIMEO, 500);
	pthread_create(&thread, NULL, read_later, &fd);
	tell("sendmmsg", sendmmsg(fd, messages, 2, 0), NULL);
	printf("the first: %s\n", messages[0].msg_len < size ? "a part" : "all");
	shutdown(fd, SHUT_RDWR);
	pthread_join(thread, NULL);
}

/* ---- splice(), sendfile(): what they are not for ---- */

static void splices(int fd, int file, const int pipes[2], int other)
{
	off_t at = 2;

	tell("to a file", splice(fd, NULL, file, NULL, 4, 0), NULL);
	tell("to a place in a file", splice(fd, NULL, file, &at, 4, 0), NULL);
	tell("to a socket", splice(fd, NULL, other, NULL, 4, 0), NULL);
	tell("from a file", splice(file, &at, fd, NULL, 4, 0), NULL);
	tell("from a place", splice(fd, &at, pipes[1], NULL, 4, 0), NULL);
	tell("to a place in a pipe", splice(fd, NULL, pipes[1], &at, 4, 0), NULL);
	tell("to a place", splice(pipes[0], NULL, fd, &at, 4, 0), NULL);
	tell("to the wrong end", splice(fd, NULL, pipes[0], NULL, 4, 0), NULL);
	tell("from the wrong end", splice(pipes[1], NULL, fd, NULL, 4, 0), NULL);
	tell("unknown flags", splice(fd, NULL, pipes[1], NULL, 4, 0x100), NULL);
	tell("nothing", splice(fd, NULL, pipes[1], NULL, 0, 0), NULL);
}

static void broken_pipe(int fd)
{
	int pipes[2];

	if (pipe(pipes))
		return;
	close(pipes[0]);
	signal(SIGPIPE, SIG_IGN);
	tell("to a pipe that nobody reads", splice(fd, NULL, pipes[1], NULL, 4, 0), NULL);
	close(pipes[1]);
}

void refused_case(void)
{
	char path[] = "/tmp/callsXXXXXX";
	int fd = connected(), file = mkstemp(path), pipes[2], sockets[2];
	off_t before = -5, at = 8;

	if (pipe(pipes) || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return;
	unlink(path);
	tell("file", write(file, "abcdefghij", 10), NULL);
	tell("pipe", write(pipes[1], "pipe", 4), NULL);
	send_text(fd, "0123456789");
	all_has_come(fd, 10);
	splices(fd, file, pipes, sockets[0]);
	tell("sendfile from a pipe", sendfile(fd, pipes[0], NULL, 4), NULL);
	tell("from a place there", sendfile(fd, pipes[0], &at, 4), NULL);
	tell("from a socket", sendfile(fd, sockets[0], NULL, 4), NULL);
	tell("from before a file", sendfile(fd, file, &before, 4), NULL);
	tell("from none", sendfile(fd, 999, NULL, 4), NULL);
	tell("from a directory", sendfile(fd, open("/", O_RDONLY), NULL, 4), NULL);
	tell("from a place there", sendfile(fd, open("/", O_RDONLY), &at, 4), NULL);
	tell("from a counter", sendfile(fd, eventfd(1, 0), NULL, 8), NULL);
	tell("less than nothing", sendfile(fd, file, &at, -1), NULL);
	tell("over its end", sendfile(fd, file, &at, 100), NULL);
	tell("offset", at, NULL);
	tell("at its end", sendfile(fd, file, &at, 100), NULL);
	broken_pipe(fd);
	echoed("all is still there", fd, 12);
	tell("nothing is in the file", lseek(file, 0, SEEK_END), NULL);
}

/* ---- a descriptor that becomes another one while a call waits for it ---- */

struct call {
	int fd;
	_Atomic pid_t tid;
	ssize_t (*run)(int fd);
	ssize_t result;
};

static ssize_t read_some(int fd)
{
	char buffer[64];

	return recv(fd, buffer, run_time(sizeof(buffer)), 0);
}

static ssize_t write_much(int fd)
{
	static char much[1 << 20];

	memset(much, 'W', sizeof(much));
	return send(fd, much, sizeof(much), MSG_NOSIGNAL);
}

static void *run(void *data)
{
	struct call *call = data;

	call->tid = gettid();
	call->result = call->run(call->fd);
	return NULL;
}

/* fd's connection is shut down, and other comes to its number, while the call waits. */
static void taken_from(const char *what, ssize_t (*run_it)(int fd), int fd, int other)
{
	struct call call = { .fd = fd, .run = run_it };
	pthread_t thread;

	pthread_create(&thread, NULL, run, &call);
	while (!call.tid)
		pause_ms(1);
	until_it_waits(call.tid);
	shutdown(fd, SHUT_RDWR);
	dup2(other, fd);
	pthread_join(thread, NULL);
	printf("%s: %s\n", what, call.result < 0 ? "an error" : call.result ? "done" : "the end");
}

static int begun(void)
{
	int fd = connected();

	send_text(fd, "hello");
	echoed("hello", fd, 5);
	return fd;
}

static int filled(void)
{
	int fd = begun();

	fill(fd);
	return fd;
}

void taken_case(void)
{
	int other = begun(), sockets[2];
	char buffer[16];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return;
	send_text(other, "other's");
	all_has_come(other, 7);
	taken_from("read", read_some, begun(), other);
	echoed("of the other nothing was taken", other, 7);
	taken_from("write", write_much, filled(), other);
	send_text(other, "its own");
	echoed("in the other there is", other, 7);
	send_text(sockets[1], "plain");
	taken_from("read", read_some, begun(), sockets[0]);
	tell("in a plain one", recv(sockets[0], buffer, sizeof(buffer), MSG_DONTWAIT), buffer);
	taken_from("write", write_much, filled(), sockets[0]);
	tell("and nothing comes from it", recv(sockets[1], buffer, sizeof(buffer), MSG_DONTWAIT),
	     buffer);
}

/* ---- duplicates while another thread forks ---- */

static atomic_bool enough;

static void *forks(void *data)
{
	while (!enough) {
		pid_t pid = fork();

		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
	}
	return data;
}

static int passed_on(int fd)
{
	return passed(fd, MSG_CMSG_CLOEXEC);
}

/* The last one is as good as the first. */
static bool copies_work(int (*copied)(int fd))
{
	int fd = connected();
	bool work = true;

	for (int i = 0; i < 8 && work; i++) {
		char buffer[8] = "";
		ssize_t sent, received = 0;
		int copy = copied(fd);

		close(fd);
		fd = copy;
		errno = 0;
		sent = send(fd, "hello", 5, MSG_NOSIGNAL);
		if (sent == 5)
			received = recv(fd, buffer, 5, MSG_WAITALL);
		work = received == 5 && !memcmp(buffer, "hello", 5);
		if (!work)
			printf("copy %d is %d: sent %zd, received %zd \"%.5s\": %s\n", i, fd, sent,
			       received, buffer, strerror(errno));
	}
	close(fd);
	return work;
}

static void copies(int (*copied)(int fd))
{
	pthread_t thread;
	int good = 0;

	enough = false;
	pthread_create(&thread, NULL, forks, NULL);
	for (int i = 0; i < 200; i++)
		good += copies_work(copied);
	enough = true;
	pthread_join(thread, NULL);
	tell("of 200", good, NULL);
}

void copies_case(void)
{
	copies(dup);
	copies(passed_on);
}
