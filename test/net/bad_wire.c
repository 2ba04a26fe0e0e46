// SPDX-License-Identifier: BSD-2-Clause
/*
 * A bad link: carries frames between two interfaces and harms them at random.
 *
 *   bad_wire LEFT RIGHT SEED
 *
 * Reads its orders from standard input, one a line; the latest holds, for both directions:
 *
 *   faults LOSS REORDER DUPLICATE CORRUPT DELAY JITTER    percent (four), milliseconds (two)
 *   down                                                  everything is lost
 *
 * Frames keep their order but for those that are picked to be late. A corrupt one has a single
 * bit changed, which every checksum notices. Each direction carries RATE bits a second and
 * queues QUEUE bytes. At the end of the orders it prints what it did as a JSON object, and ends.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define RATE	  50000000 /* a second of soaking costs little CPU */
#define QUEUE	  (256 << 10)
#define FRAME_MAX 2048
#define LATE_MAX  8192 /* frames under way */
#define LATE_NS	  20000000ULL
#define BATCH	  64

struct frame {
	uint64_t due;
	uint64_t number; /* keeps equals in order */
	int way;
	size_t len;
	uint8_t bytes[FRAME_MAX];
};

struct way {
	int from, to;
	uint64_t line_free; /* when what was queued has been serialized */
	uint64_t last_due;
};

struct faults {
	double loss, reorder, duplicate, corrupt, delay, jitter;
	bool down;
};

struct counters {
	uint64_t frames, lost, reordered, duplicated, corrupted, queue_full, down;
};

static struct way ways[2];
static struct faults faults;
static struct counters counters;
static struct frame *heap[LATE_MAX];
static size_t heap_len;
static uint64_t numbers;

static void die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static bool chance(double percent)
{
	return drand48() * 100 < percent;
}

static bool before(const struct frame *a, const struct frame *b)
{
	return a->due != b->due ? a->due < b->due : a->number < b->number;
}

static void heap_push(struct frame *f)
{
	size_t at = heap_len++;

	for (; at && before(f, heap[(at - 1) / 2]); at = (at - 1) / 2)
		heap[at] = heap[(at - 1) / 2];
	heap[at] = f;
}

static struct frame *heap_pop(void)
{
	struct frame *top = heap[0], *last = heap[--heap_len];
	size_t at = 0;

	for (size_t child; (child = 2 * at + 1) < heap_len; at = child) {
		if (child + 1 < heap_len && before(heap[child + 1], heap[child]))
			child++;
		if (!before(heap[child], last))
			break;
		heap[at] = heap[child];
	}
	heap[at] = last;
	return top;
}

static void schedule(int way, const uint8_t *bytes, size_t len, uint64_t due)
{
	struct frame *f = heap_len < LATE_MAX ? malloc(sizeof(*f)) : NULL;

	if (!f) {
		counters.queue_full++;
		return;
	}
	f->due = due;
	f->number = numbers++;
	f->way = way;
	f->len = len;
	memcpy(f->bytes, bytes, len);
	heap_push(f);
}

/* When a frame comes out at the other end; 0: it does not. */
static uint64_t due_of(struct way *w, size_t len, uint64_t now)
{
	uint64_t due;

	if (w->line_free < now)
		w->line_free = now;
	if (w->line_free - now > QUEUE * 8ULL * 1000000000 / RATE)
		return 0;
	w->line_free += len * 8ULL * 1000000000 / RATE;
	due = w->line_free + (uint64_t)((faults.delay + drand48() * faults.jitter) * 1e6);
	if (due < w->last_due)
		due = w->last_due;
	w->last_due = due;
	return due;
}

static void carry(int way, uint8_t *bytes, size_t len)
{
	uint64_t due;

	counters.frames++;
	if (faults.down) {
		counters.down++;
		return;
	}
	if (chance(faults.loss)) {
		counters.lost++;
		return;
	}
	if (chance(faults.corrupt)) {
		bytes[(size_t)(drand48() * len)] ^= 1 << (int)(drand48() * 8);
		counters.corrupted++;
	}
	due = due_of(&ways[way], len, now_ns());
	if (!due) {
		counters.queue_full++;
		return;
	}
	if (chance(faults.duplicate)) {
		counters.duplicated++;
		schedule(way, bytes, len, due);
	}
	if (chance(faults.reorder)) {
		counters.reordered++;
		due += drand48() * LATE_NS;
	}
	schedule(way, bytes, len, due);
}

static void receive(int way)
{
	uint8_t bytes[FRAME_MAX];
	ssize_t n;

	for (int i = 0; i < BATCH; i++) {
		n = recv(ways[way].from, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n <= 0)
			return;
		carry(way, bytes, n);
	}
}

static void send_due(void)
{
	uint64_t now = now_ns();

	while (heap_len && heap[0]->due <= now) {
		struct frame *f = heap_pop();

		/* As on any wire, what does not fit is lost. */
		if (send(ways[f->way].to, f->bytes, f->len, 0) < 0)
			counters.queue_full++;
		free(f);
	}
}

static int open_interface(const char *name)
{
	const struct sockaddr_ll address = { .sll_family = AF_PACKET,
					     .sll_protocol = htons(ETH_P_ALL),
					     .sll_ifindex = (int)if_nametoindex(name) };
	int size = 16 << 20, one = 1;
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (fd < 0 || !address.sll_ifindex)
		die(name);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
	if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		die(name);
	return fd;
}

static void obey(const char *line)
{
	struct faults f = {};

	if (!strcmp(line, "down\n"))
		f.down = true;
	else if (sscanf(line, "faults %lf %lf %lf %lf %lf %lf", &f.loss, &f.reorder, &f.duplicate,
			&f.corrupt, &f.delay, &f.jitter) != 6)
		fprintf(stderr, "bad_wire: not understood: %s", line);
	faults = f;
}

/* Returns false at the end of the orders. Each comes in a write of its own. */
static bool orders_read(void)
{
	char line[256];
	ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1);

	if (n <= 0)
		return n < 0 && errno == EINTR;
	line[n] = '\0';
	obey(line);
	return true;
}

static void run(void)
{
	struct pollfd fds[] = { { .fd = ways[0].from, .events = POLLIN },
				{ .fd = ways[1].from, .events = POLLIN },
				{ .fd = STDIN_FILENO, .events = POLLIN } };

	for (;;) {
		struct timespec wait = { 0, 0 };
		uint64_t now = now_ns();

		if (heap_len && heap[0]->due > now) {
			wait.tv_sec = (heap[0]->due - now) / 1000000000;
			wait.tv_nsec = (heap[0]->due - now) % 1000000000;
		}
		if (ppoll(fds, 3, heap_len ? &wait : NULL, NULL) < 0 && errno != EINTR)
			die("poll");
		for (int way = 0; way < 2; way++)
			if (fds[way].revents)
				receive(way);
		if (fds[2].revents && !orders_read())
			return;
		send_due();
	}
}

int main(int argc, char **argv)
{
	if (argc != 4) {
		fprintf(stderr, "usage: bad_wire LEFT RIGHT SEED\n");
		return 2;
	}
	srand48(atol(argv[3]));
	ways[0].from = ways[1].to = open_interface(argv[1]);
	ways[1].from = ways[0].to = open_interface(argv[2]);
	printf("carrying\n");
	fflush(stdout);
	run();
	printf("{\"frames\": %llu, \"lost\": %llu, \"reordered\": %llu, \"duplicated\": %llu, "
	       "\"corrupted\": %llu, \"queue_full\": %llu, \"down\": %llu}\n",
	       (unsigned long long)counters.frames, (unsigned long long)counters.lost,
	       (unsigned long long)counters.reordered, (unsigned long long)counters.duplicated,
	       (unsigned long long)counters.corrupted, (unsigned long long)counters.queue_full,
	       (unsigned long long)counters.down);
	while (heap_len)
		free(heap_pop());
	return 0;
}
