// SPDX-License-Identifier: BSD-2-Clause
/*
 * `calls ADDRESS PORT CASE`: calls on connections to an echo server, and what each of them said, line by
 * line; natively and in-process it must be the same. Built with _FORTIFY_SOURCE=2 and
 * _FILE_OFFSET_BITS=64, so that the C library's names for these are called.
 */
#include "calls.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sockaddr_in server = { .sin_family = AF_INET };

void tell(const char *what, ssize_t result, const char *buffer)
{
	if (result < 0)
		printf("%s: %s\n", what, strerrorname_np(errno));
	else if (buffer)
		printf("%s: %zd %.*s\n", what, result, (int)result, buffer);
	else
		printf("%s: %zd\n", what, result);
	fflush(stdout);
}

int connected(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof(server))) {
		perror("connect");
		exit(EXIT_FAILURE);
	}
	return fd;
}

void send_text(int fd, const char *text)
{
	if (send(fd, text, strlen(text), 0) != (ssize_t)strlen(text)) {
		perror("send");
		exit(EXIT_FAILURE);
	}
}

void echoed(const char *what, int fd, size_t len)
{
	char buffer[64];

	tell(what, recv(fd, buffer, len < sizeof(buffer) ? len : sizeof(buffer), MSG_WAITALL),
	     buffer);
}

void all_has_come(int fd, int len)
{
	char buffer[64];

	if (recv(fd, buffer, len, MSG_PEEK | MSG_WAITALL) != len) {
		perror("what was to come");
		exit(EXIT_FAILURE);
	}
}

size_t run_time(size_t n)
{
	volatile size_t hidden = n;

	return hidden;
}

/* ---- recvmmsg(), sendmmsg() ---- */

static void sendmmsg_case(void)
{
	char text[] = "abcdefghijkl";
	struct iovec iov[] = {
		{ text, 2 }, { text + 2, 2 }, { text + 4, 3 }, { NULL, 0 }, { text + 7, 5 },
	};
	struct mmsghdr messages[3] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 2 } },
				       { .msg_hdr = { .msg_iov = iov + 2, .msg_iovlen = 2 } },
				       { .msg_hdr = { .msg_iov = iov + 4, .msg_iovlen = 1 } } };
	int fd = connected();

	tell("none", sendmmsg(fd, messages, 0, 0), NULL);
	tell("three", sendmmsg(fd, messages, 3, 0), NULL);
	for (int i = 0; i < 3; i++)
		tell("length", messages[i].msg_len, NULL);
	echoed("in order", fd, 12);
	tell("by number", syscall(SYS_sendmmsg, fd, messages, 2, 0), NULL);
	echoed("in order", fd, 7);
	shutdown(fd, SHUT_WR);
	tell("after the end", sendmmsg(fd, messages, 3, MSG_NOSIGNAL), NULL);
}

static void mmsg_tell(const char *what, int n, const struct mmsghdr *messages)
{
	tell(what, n, NULL);
	for (int i = 0; i < n; i++)
		tell("  message", messages[i].msg_len, messages[i].msg_hdr.msg_iov->iov_base);
}

static void recvmmsg_case(void)
{
	char buffers[4][4];
	struct iovec iov[4];
	struct mmsghdr messages[4] = {};
	struct timespec limit = { .tv_sec = 30 };
	int fd = connected();

	for (int i = 0; i < 4; i++) {
		iov[i] = (struct iovec){ buffers[i], sizeof(buffers[i]) };
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	mmsg_tell("nothing there", recvmmsg(fd, messages, 4, MSG_DONTWAIT, NULL), messages);
	send_text(fd, "aaaabbbbcc");
	all_has_come(fd, 10);
	mmsg_tell("two", recvmmsg(fd, messages, 2, 0, NULL), messages);
	mmsg_tell("what there is", recvmmsg(fd, messages, 4, MSG_WAITFORONE, &limit), messages);
	send_text(fd, "ddddeeee");
	all_has_come(fd, 8);
	mmsg_tell("by number", syscall(SYS_recvmmsg, fd, messages, 4, MSG_DONTWAIT, NULL),
		  messages);
	send_text(fd, "ffff");
	shutdown(fd, SHUT_WR);
	mmsg_tell("to the end", recvmmsg(fd, messages, 2, 0, NULL), messages);
}

/* ---- what the compiler makes of calls with buffers whose size it knows ---- */

static void fortified_case(void)
{
	struct sockaddr_storage from;
	socklen_t from_len = sizeof(from);
	char buffer[32];
	struct pollfd polled[2] = {};
	struct timespec limit = { .tv_sec = 30 };
	int fd = connected();

	polled[0] = (struct pollfd){ .fd = fd, .events = POLLIN };
	send_text(fd, "0123456789abcdef");
	tell("poll", poll(polled, run_time(1), 30000), NULL);
	tell("events", polled[0].revents, NULL);
	tell("ppoll", ppoll(polled, run_time(1), &limit, NULL), NULL);
	all_has_come(fd, 16);
	tell("read", read(fd, buffer, run_time(5)), buffer);
	tell("recv", recv(fd, buffer, run_time(5), 0), buffer);
	tell("recvfrom", recvfrom(fd, buffer, run_time(6), 0, (struct sockaddr *)&from, &from_len),
	     buffer);
	tell("poll: nothing", poll(polled, run_time(1), 0), NULL);
}

typedef void overflow_fn(int fd, char *to);

static void read_over(int fd, char *to)
{
	char buffer[4];

	to[0] = read(fd, buffer, run_time(5)) + buffer[0];
}

static void recv_over(int fd, char *to)
{
	char buffer[4];

	to[0] = recv(fd, buffer, run_time(5), 0) + buffer[0];
}

static void recvfrom_over(int fd, char *to)
{
	char buffer[4];

	to[0] = recvfrom(fd, buffer, run_time(5), 0, NULL, NULL) + buffer[0];
}

static void poll_over(int fd, char *to)
{
	struct pollfd polled[1] = { { .fd = fd } };

	to[0] = poll(polled, run_time(2), 0) + polled[0].revents;
}

static void ppoll_over(int fd, char *to)
{
	struct pollfd polled[1] = { { .fd = fd } };
	struct timespec none = {};

	to[0] = ppoll(polled, run_time(2), &none, NULL) + polled[0].revents;
}

/* A child that would write behind its buffer is stopped. */
static void overflow(const char *what, overflow_fn *over)
{
	int fd = connected(), status;
	char to[4];
	pid_t pid;

	send_text(fd, "overflow");
	all_has_come(fd, 8);
	pid = fork();
	if (!pid) {
		/* Its last words are not our business. */
		close(STDERR_FILENO);
		over(fd, to);
		_exit(to[0]);
	}
	waitpid(pid, &status, 0);
	tell(what, WIFSIGNALED(status) ? WTERMSIG(status) : 0, NULL);
	echoed("  and nothing was read", fd, 8);
	close(fd);
}

static void overflow_case(void)
{
	overflow("read", read_over);
	overflow("recv", recv_over);
	overflow("recvfrom", recvfrom_over);
	overflow("poll", poll_over);
	overflow("ppoll", ppoll_over);
}

/* ---- names for large files ---- */

static void large_case(void)
{
	char path[] = "/tmp/callsXXXXXX", buffer[8];
	char vector[] = "vector";
	struct iovec iov = { buffer, sizeof(buffer) }, text = { vector, 6 };
	int fd = connected(), file = mkstemp(path), copy;
	off_t at = 3;

	unlink(path);
	tell("file", write(file, "abcdefghij", 10), NULL);
	tell("sendfile", sendfile(fd, file, &at, 4), NULL);
	tell("offset", at, NULL);
	echoed("sent", fd, 4);
	tell("to its end", sendfile(fd, file, &at, 100), NULL);
	echoed("sent", fd, 3);
	lseek(file, 1, SEEK_SET);
	tell("by position", sendfile(fd, file, NULL, 2), NULL);
	tell("position", lseek(file, 0, SEEK_CUR), NULL);
	echoed("sent", fd, 2);
	tell("pwritev2", pwritev2(fd, &text, 1, -1, 0), NULL);
	all_has_come(fd, 6);
	tell("preadv2", preadv2(fd, &iov, 1, -1, 0), buffer);
	tell("preadv2 that does not wait", preadv2(fd, &iov, 1, -1, RWF_NOWAIT), buffer);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 100);
	tell("F_DUPFD_CLOEXEC", copy, NULL);
	tell("F_GETFD", fcntl(copy, F_GETFD), NULL);
	tell("F_SETFL", fcntl(copy, F_SETFL, O_RDWR | O_NONBLOCK), NULL);
	tell("F_GETFL", fcntl(fd, F_GETFL) & O_NONBLOCK, NULL);
	tell("nothing there", read(fd, buffer, run_time(8)), buffer);
	tell("F_SETFL", fcntl(fd, F_SETFL, O_RDWR), NULL);
	close(fd);
	send_text(copy, "copy");
	echoed("the copy lives", copy, 4);
}

/* ---- names that the C library has for itself, and lends ---- */

ssize_t __read(int fd, void *buf, size_t len);
ssize_t __write(int fd, const void *buf, size_t len);
int __connect(int fd, const struct sockaddr *to, socklen_t len);
int __close(int fd);
int __dup2(int fd, int copy);
int __fcntl(int fd, int command, ...);
int __poll(struct pollfd *fds, nfds_t n, int timeout);
int __select(int n, fd_set *in, fd_set *out, fd_set *except, struct timeval *timeout);

/* Only libc of older architectures has it. */
static ssize_t alias_send(int fd, const void *buf, size_t len)
{
	ssize_t (*alias)(int fd, const void *buf, size_t len, int flags);

	*(void **)&alias = dlsym(RTLD_DEFAULT, "__send");
	return alias ? alias(fd, buf, len, 0) : send(fd, buf, len, 0);
}

static void alias_case(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	char buffer[32];
	fd_set in;

	tell("connect", __connect(fd, (struct sockaddr *)&server, sizeof(server)), NULL);
	tell("write", __write(fd, "write", 5), NULL);
	tell("send", alias_send(fd, "send", 4), NULL);
	tell("poll", __poll(&polled, 1, 30000), NULL);
	all_has_come(fd, 9);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	tell("select", __select(fd + 1, &in, NULL, NULL, NULL), NULL);
	tell("read", __read(fd, buffer, sizeof(buffer)), buffer);
	tell("dup2", __dup2(fd, 350), NULL);
	tell("fcntl", __fcntl(350, F_DUPFD, 360), NULL);
	tell("close", __close(fd), NULL);
	tell("close", __close(350), NULL);
	send_text(360, "last");
	echoed("the last one lives", 360, 4);
	tell("close", __close(360), NULL);
}

/* ---- streams of the C library ---- */

static void places(FILE *file)
{
	fpos_t at;

	tell("ftell", ftell(file), NULL);
	tell("fseek", fseek(file, 0, SEEK_CUR), NULL);
	tell("fseek, to an end", fseek(file, 0, SEEK_END), NULL);
	tell("fgetpos", fgetpos(file, &at), NULL);
	errno = 0;
	rewind(file);
	printf("rewind: %s\n", strerrorname_np(errno));
	tell("ferror", !!ferror(file), NULL);
}

static void stdio_case(void)
{
	int fd = connected();
	FILE *in = fdopen(fd, "r"), *out = fdopen(dup(fd), "w");
	char line[64];

	if (!in || !out)
		return;
	tell("dprintf", dprintf(fd, "%s %d\n", "line", 1), NULL);
	printf("fgets: %s", fgets(line, sizeof(line), in));
	tell("fprintf", fprintf(out, "line %zu\nmore\n", run_time(2)), NULL);
	tell("fflush", fflush(out), NULL);
	printf("fgets: %s", fgets(line, sizeof(line), in));
	printf("getc: %c\n", getc(in));
	printf("fgets: %s", fgets(line, sizeof(line), in));
	places(in);
	places(out);
	tell("fputs", fputs("last", out) < 0, NULL);
	tell("fflush", fflush(out), NULL);
	shutdown(fd, SHUT_WR);
	tell("fread", fread(line, 1, sizeof(line), in), line);
	tell("feof", !!feof(in), NULL);
	tell("fclose", fclose(out), NULL);
	tell("fclose", fclose(in), NULL);
	tell("closed", fcntl(fd, F_GETFD), NULL);
}

/* A socket that has a stream before it is connected. */
static void stream_first_case(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0), pipes[2];
	FILE *file = fdopen(fd, "r+"), *other;
	char line[64];

	if (!file || pipe(pipes))
		return;
	tell("wrong mode", fdopen(fd, "x") ? 0 : -1, NULL);
	places(file);
	tell("connect", connect(fd, (struct sockaddr *)&server, sizeof(server)), NULL);
	tell("fprintf", fprintf(file, "Nobody reads line %zu\n", run_time(1)), NULL);
	tell("fflush", fflush(file), NULL);
	places(file);
	printf("fgets: %s", fgets(line, sizeof(line), file));
	tell("fileno", fileno(file) == fd, NULL);
	tell("fclose", fclose(file), NULL);
	tell("closed", fcntl(fd, F_GETFD), NULL);
	/* A file that has such a socket's number. */
	other = fdopen(dup2(pipes[0], socket(AF_INET, SOCK_STREAM, 0)), "r");
	tell("write", write(pipes[1], "pipe\n", 5), NULL);
	printf("fgets: %s", fgets(line, sizeof(line), other));
	fclose(other);
	close(socket(AF_INET, SOCK_STREAM, 0));
	other = fdopen(open("/proc/self/exe", O_RDONLY), "r");
	tell("getc", getc(other), NULL);
	tell("ftell", ftell(other), NULL);
	fclose(other);
}

/* ---- flags ---- */

static void *send_later(void *data)
{
	const struct timespec while_it_waits = { .tv_nsec = 50000000 };

	nanosleep(&while_it_waits, NULL);
	send_text(*(int *)data, "67890");
	return NULL;
}

static void trunc_case(void)
{
	char buffer[64] = "untouched";
	struct iovec iov = { buffer, 4 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fd = connected();

	send_text(fd, "0123456789abcdef");
	all_has_come(fd, 16);
	tell("thrown away", recv(fd, buffer, 4, MSG_TRUNC), NULL);
	printf("buffer: %s\n", buffer);
	tell("without a buffer", recv(fd, NULL, 3, MSG_TRUNC), NULL);
	tell("seen, not taken", recv(fd, buffer, 4, MSG_TRUNC | MSG_PEEK), NULL);
	tell("recvfrom", recvfrom(fd, buffer, 1, MSG_TRUNC, NULL, NULL), NULL);
	tell("recvmsg", recvmsg(fd, &message, MSG_TRUNC), NULL);
	tell("flags", message.msg_flags & MSG_TRUNC, NULL);
	echoed("what follows", fd, 4);
	tell("nothing there", recv(fd, buffer, 4, MSG_TRUNC | MSG_DONTWAIT), NULL);
	send_text(fd, "xy");
	shutdown(fd, SHUT_WR);
	tell("to the end", recv(fd, buffer, 64, MSG_TRUNC | MSG_WAITALL), NULL);
	tell("the end", recv(fd, buffer, 64, MSG_TRUNC), NULL);
}

static void waitall_case(void)
{
	struct timeval limit = { .tv_usec = 200000 };
	char buffer[64];
	struct iovec iov[2] = { { buffer, 3 }, { buffer + 3, 7 } };
	struct msghdr message = { .msg_iov = iov, .msg_iovlen = 2 };
	int fd = connected();
	pthread_t thread;

	send_text(fd, "12345");
	pthread_create(&thread, NULL, send_later, &fd);
	tell("recv", recv(fd, buffer, 10, MSG_WAITALL), buffer);
	pthread_join(thread, NULL);
	send_text(fd, "12345");
	pthread_create(&thread, NULL, send_later, &fd);
	tell("recvmsg", recvmsg(fd, &message, MSG_WAITALL), buffer);
	pthread_join(thread, NULL);
	send_text(fd, "12345");
	all_has_come(fd, 5);
	tell("that does not wait", recv(fd, buffer, 10, MSG_WAITALL | MSG_DONTWAIT), buffer);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	send_text(fd, "123");
	tell("until its time is up", recv(fd, buffer, 10, MSG_WAITALL), buffer);
	send_text(fd, "1234");
	shutdown(fd, SHUT_WR);
	tell("to the end", recv(fd, buffer, 10, MSG_WAITALL), buffer);
}

static bool takes(int fd, size_t len)
{
	static char zeros[65536];

	return send(fd, zeros, len, MSG_DONTWAIT) > 0;
}

/* The other end may be held up by others for a while. */
static bool has_room_soon(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLOUT };

	return poll(&polled, 1, 2000) > 0;
}

void fill(int fd)
{
	while (takes(fd, 65536) || takes(fd, 1) || has_room_soon(fd) || takes(fd, 1))
		;
}

static void timeouts_case(void)
{
	struct timeval limit = { .tv_usec = 50000 };
	char buffer[64];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };
	int fd = connected();
	socklen_t len = sizeof(limit);

	send_text(fd, "first");
	echoed("first", fd, 5);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	tell("read", read(fd, buffer, run_time(9)), NULL);
	tell("readv", readv(fd, &iov, 1), NULL);
	tell("recv", recv(fd, buffer, run_time(9), 0), NULL);
	tell("recv, peeking", recv(fd, buffer, run_time(9), MSG_PEEK), NULL);
	tell("recvfrom", recvfrom(fd, buffer, run_time(9), 0, NULL, NULL), NULL);
	tell("recvmsg", recvmsg(fd, &message, 0), NULL);
	tell("recvmmsg", recvmmsg(fd, &messages, 1, 0, NULL), NULL);
	fill(fd);
	tell("write", write(fd, buffer, sizeof(buffer)), NULL);
	tell("writev", writev(fd, &iov, 1), NULL);
	tell("send", send(fd, buffer, sizeof(buffer), 0), NULL);
	tell("sendto", sendto(fd, buffer, sizeof(buffer), 0, NULL, 0), NULL);
	tell("sendmsg", sendmsg(fd, &message, 0), NULL);
	tell("sendmmsg", sendmmsg(fd, &messages, 1, 0), NULL);
	tell("SO_RCVTIMEO", getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, &len), NULL);
}

/* ---- descriptors ---- */

static void dup3_case(void)
{
	int one = connected(), other = connected(), copy;

	send_text(one, "one");
	echoed("one", one, 3);
	send_text(other, "other");
	echoed("other", other, 5);
	tell("to itself", dup3(one, one, 0), NULL);
	tell("with other flags", dup3(one, 300, O_APPEND), NULL);
	copy = dup3(one, 300, O_CLOEXEC);
	tell("copy", copy, NULL);
	tell("close-on-exec", fcntl(copy, F_GETFD), NULL);
	tell("over a connection", dup3(one, other, 0) == other, NULL);
	tell("close-on-exec", fcntl(other, F_GETFD), NULL);
	close(one);
	send_text(copy, "copy");
	echoed("the copies have one stream", other, 4);
	close(copy);
	send_text(other, "last");
	echoed("the last one lives", other, 4);
	tell("dup3, of none", dup3(copy, 301, 0), NULL);
}

static void close_range_case(void)
{
	int fds[4];

	for (int i = 0; i < 4; i++) {
		int fd = connected();

		fds[i] = dup2(fd, 400 + i);
		close(fd);
		send_text(fds[i], "here");
		echoed("here", fds[i], 4);
	}
	tell("close-on-exec", close_range(400, 403, CLOSE_RANGE_CLOEXEC), NULL);
	for (int i = 0; i < 4; i++)
		tell("  flag", fcntl(fds[i], F_GETFD), NULL);
	send_text(fds[0], "still");
	echoed("still here", fds[0], 5);
	tell("the wrong way round", close_range(403, 400, 0), NULL);
	tell("closed", close_range(401, 402, 0), NULL);
	for (int i = 0; i < 4; i++)
		tell("  is", fcntl(fds[i], F_GETFD), NULL);
	send_text(fds[3], "last");
	echoed("outside", fds[3], 4);
	tell("by number", syscall(SYS_close_range, 403, 403, 0), NULL);
	tell("  is", fcntl(fds[3], F_GETFD), NULL);
	closefrom(400);
	tell("closefrom", fcntl(fds[0], F_GETFD), NULL);
}

/* ---- signals ---- */

static void handle(int number __attribute__((unused)))
{
}

/* Signals until the call that they interrupt has returned. */
static void alarms(bool on)
{
	const struct timeval often = { .tv_usec = 30000 };
	const struct itimerval timer = { often, often };
	const struct sigaction action = { .sa_handler = on ? handle : SIG_IGN };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, on ? &timer : &(struct itimerval){}, NULL);
}

static void eintr_reading(int fd)
{
	char buffer[64];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };
	int pipes[2];

	if (pipe(pipes))
		return;
	tell("read", read(fd, buffer, run_time(9)), NULL);
	tell("readv", readv(fd, &iov, 1), NULL);
	tell("recv", recv(fd, buffer, run_time(9), 0), NULL);
	tell("recv, of all", recv(fd, buffer, run_time(9), MSG_WAITALL), NULL);
	tell("recv, peeking", recv(fd, buffer, run_time(9), MSG_PEEK), NULL);
	tell("recvfrom", recvfrom(fd, buffer, run_time(9), 0, NULL, NULL), NULL);
	tell("recvmsg", recvmsg(fd, &message, 0), NULL);
	tell("recvmmsg", recvmmsg(fd, &messages, 1, 0, NULL), NULL);
	tell("splice", splice(fd, NULL, pipes[1], NULL, 100, 0), NULL);
}

static void eintr_waiting(int fd)
{
	struct pollfd polled = { .fd = fd, .events = POLLIN };
	struct epoll_event event = { .events = EPOLLIN };
	int set = epoll_create1(EPOLL_CLOEXEC);
	fd_set in;

	epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	tell("poll", poll(&polled, run_time(1), -1), NULL);
	tell("ppoll", ppoll(&polled, run_time(1), NULL, NULL), NULL);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	tell("select", select(fd + 1, &in, NULL, NULL, NULL), NULL);
	FD_ZERO(&in);
	FD_SET(fd, &in);
	tell("pselect", pselect(fd + 1, &in, NULL, NULL, NULL, NULL), NULL);
	tell("epoll_wait", epoll_wait(set, &event, 1, -1), NULL);
}

static void eintr_writing(int fd)
{
	static char buffer[64];
	struct iovec iov = { buffer, sizeof(buffer) };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr messages = { .msg_hdr = message };

	tell("write", write(fd, buffer, sizeof(buffer)), NULL);
	tell("writev", writev(fd, &iov, 1), NULL);
	tell("send", send(fd, buffer, sizeof(buffer), 0), NULL);
	tell("sendto", sendto(fd, buffer, sizeof(buffer), 0, NULL, 0), NULL);
	tell("sendmsg", sendmsg(fd, &message, 0), NULL);
	tell("sendmmsg", sendmmsg(fd, &messages, 1, 0), NULL);
}

static void eintr_case(void)
{
	int fd = connected(), listener = socket(AF_INET, SOCK_STREAM, 0);
	char buffer[8];

	send_text(fd, "first");
	echoed("first", fd, 5);
	listen(listener, 1);
	alarms(true);
	eintr_reading(fd);
	eintr_waiting(fd);
	tell("accept", accept(listener, NULL, NULL), NULL);
	tell("accept4", accept4(listener, NULL, NULL, SOCK_CLOEXEC), NULL);
	alarms(false);
	send_text(fd, "whole");
	all_has_come(fd, 5);
	alarms(true);
	tell("a part of all", recv(fd, buffer, 8, MSG_WAITALL), buffer);
	alarms(false);
	fill(fd);
	alarms(true);
	eintr_writing(fd);
	alarms(false);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} cases[] = {
		{ "sendmmsg", sendmmsg_case },	 { "recvmmsg", recvmmsg_case },
		{ "fortified", fortified_case }, { "overflow", overflow_case },
		{ "large", large_case },	 { "trunc", trunc_case },
		{ "waitall", waitall_case },	 { "timeouts", timeouts_case },
		{ "dup3", dup3_case },		 { "close_range", close_range_case },
		{ "eintr", eintr_case },	 { "alias", alias_case },
		{ "stdio", stdio_case },	 { "peeks", peeks_case },
		{ "pieces", pieces_case },	 { "nothing", nothing_case },
		{ "limits", limits_case },	 { "together", together_case },
		{ "partial", partial_case },	 { "refused", refused_case },
		{ "taken", taken_case },	 { "copies", copies_case },
		{ "forms", forms_case },	 { "stream_first", stream_first_case },
	};

	if (argc != 4 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1)
		return EXIT_FAILURE;
	server.sin_port = htons(atoi(argv[2]));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		if (strcmp(cases[i].name, argv[3]))
			continue;
		cases[i].run();
		puts("done");
		return EXIT_SUCCESS;
	}
	return EXIT_FAILURE;
}
