// SPDX-License-Identifier: BSD-2-Clause
#include "engine/lane.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "engine/inject.h"

/* All rings together are about so large, but each has room for some hundreds of SYNs. */
#define RINGS_SIZE (4U << 20)
#define RING_MIN   (512U << 10)

struct engine_lane {
	int ring_fd;
	int events_fd;
	uint32_t slot;
	struct ring_buffer *events;
	struct inject inject;
	struct shared_worker *load;
	bool awake; /* what load has */
	/* The handler of the engine_lane_dispatch() under way. */
	void (*handler)(const struct shared_event *, void *);
	void *handler_data;
};

static int event_handle(void *ctx, void *data, size_t size)
{
	struct engine_lane *lane = ctx;

	if (size >= sizeof(struct shared_event))
		lane->handler(data, lane->handler_data);
	return 0;
}

/* A power of two. */
static unsigned int ring_size(unsigned int n_workers)
{
	unsigned int size = RINGS_SIZE;

	while (size > RING_MIN && size > RINGS_SIZE / n_workers)
		size /= 2;
	return size;
}

static int ring_open(struct engine_lane *lane, const struct lane_maps *maps)
{
	lane->ring_fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "worker_events", 0, 0,
				       ring_size(maps->n_workers), NULL);
	if (lane->ring_fd < 0)
		return -errno;
	lane->events = ring_buffer__new(lane->ring_fd, event_handle, lane, NULL);
	if (!lane->events)
		return -errno;
	return bpf_map_update_elem(maps->events_fd, &lane->slot, &lane->ring_fd, BPF_ANY);
}

int lane_open(const struct lane_maps *maps, unsigned int slot, struct engine_lane **ret)
{
	struct engine_lane *lane = calloc(1, sizeof(*lane));
	int error;

	if (!lane)
		return -ENOMEM;
	lane->ring_fd = -1;
	lane->events_fd = maps->events_fd;
	lane->slot = slot;
	lane->load = &maps->workers[slot];
	/* Of what the slot's last worker was asked nothing is left. */
	__atomic_store_n(&lane->load->flushed,
			 __atomic_load_n(&lane->load->flushes, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	__atomic_store_n(&lane->load->awake, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&lane->load->quiet, 0, __ATOMIC_RELEASE);
	inject_init(&lane->inject);
	error = inject_open(&lane->inject);
	if (!error)
		error = ring_open(lane, maps);
	if (error) {
		engine_lane_close(lane);
		return error;
	}
	*ret = lane;
	return 0;
}

void engine_lane_close(struct engine_lane *lane)
{
	if (!lane)
		return;
	ring_buffer__free(lane->events);
	if (lane->ring_fd >= 0) {
		/* The slot is free again. */
		bpf_map_delete_elem(lane->events_fd, &lane->slot);
		close(lane->ring_fd);
	}
	inject_close(&lane->inject);
	free(lane);
}

uint64_t *engine_lane_begun(struct engine_lane *lane)
{
	return &lane->load->begun;
}

void engine_lane_set_flows(struct engine_lane *lane, size_t n)
{
	__atomic_store_n(&lane->load->flows, (uint32_t)n, __ATOMIC_RELAXED);
}

uint32_t engine_lane_unheard(const struct engine_lane *lane)
{
	return __atomic_load_n(&lane->load->unheard, __ATOMIC_ACQUIRE);
}

void engine_lane_flushed(struct engine_lane *lane)
{
	__atomic_add_fetch(&lane->load->flushed, 1, __ATOMIC_RELEASE);
}

int engine_lane_fd(const struct engine_lane *lane)
{
	return ring_buffer__epoll_fd(lane->events);
}

static void set_awake(struct engine_lane *lane, bool awake)
{
	if (lane->awake == awake)
		return;
	lane->awake = awake;
	__atomic_store_n(&lane->load->awake, awake, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool engine_lane_dispatch(struct engine_lane *lane, bool waits,
			  void (*handler)(const struct shared_event *, void *), void *data)
{
	bool any;

	set_awake(lane, !waits);
	lane->handler = handler;
	lane->handler_data = data;
	any = ring_buffer__consume(lane->events) > 0;
	if (waits && any)
		set_awake(lane, true);
	return any;
}

int engine_release(struct engine_lane *lane, const struct shared_event *held)
{
	return inject_syn(&lane->inject, held->syn, held->syn_len);
}

int engine_refuse(struct engine_lane *lane, const struct shared_event *held, int error)
{
	switch (error) {
	case EINVAL: /* a black hole route: no packet says so, this comes nearest */
		error = EHOSTUNREACH;
		__attribute__((fallthrough));
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EACCES:
		return inject_icmp(&lane->inject, held->syn, held->syn_len, error);
	case ETIMEDOUT:
		/* The program's own SYN timer says so, as it would have without us. */
		return 0;
	default:
		return inject_rst(&lane->inject, held->syn, held->syn_len);
	}
}
