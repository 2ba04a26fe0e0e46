/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* The maps that the programs share, and the three questions every program asks. Kernel side. */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bpf/shared.h"

#define AF_INET	 2
#define AF_INET6 10

/* Weak: every program's object defines them, the static linker keeps one. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shared_settings);
} settings __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct eno_sock);
} eno_socks __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct app_sock);
} app_socks __weak SEC(".maps");

/* This host's own addresses: connections to them stay on the host. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u8[16]);
	__type(value, __u8);
} own_addresses __weak SEC(".maps");

/* Destinations that lately answered without ENO, or not at all while SYNs had it. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct shared_endpoint);
	__type(value, struct shared_plain);
} plain_destinations __weak SEC(".maps");

/* The daemon's connections to local servers that are being opened: whom to show instead. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct shared_tuple);
	__type(value, struct shared_flow_end);
} clients __weak SEC(".maps");

/* Programs' sockets (by cookie) that are connecting: the local end of their upstream. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct shared_flow_end);
} released __weak SEC(".maps");

/* Sockets by cookie that gave up when there was no room to say so, for the worker to look for. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u8);
} unheard __weak SEC(".maps");

/* What programs wish for their sockets; connections inherit it from their listener. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct shared_wishes);
} wishes __weak SEC(".maps");

/* The server's wishes for connections whose SYN has come: the SYN-ACK is made where the
 * listener cannot be seen. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct shared_tuple);
	__type(value, struct shared_wishes);
} wished __weak SEC(".maps");

/* On their way there: Linux 6.1 takes no value from where a function's caller has it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shared_wishes);
} wished_copy __weak SEC(".maps");

/* Handshakes from the network that are the daemon's, by the SYN's ends. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct shared_tuple);
	__type(value, struct shared_handshake);
} steered __weak SEC(".maps");

/* Those of local programs whose SYN was held, likewise: released, it goes to the same worker. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct shared_tuple);
	__type(value, struct shared_handshake);
} held __weak SEC(".maps");

/* The daemon's listeners for both, by shared_listener(); they leave the map when closed. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 4 * SHARED_SLOTS);
	__type(key, __u32);
	__type(value, __u64);
} listeners __weak SEC(".maps");

/* What socket options may tell of the daemon's flows, in their place by shared_view(), */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARED_VIEWS);
	__type(key, __u32);
	__type(value, struct shared_view);
} views __weak SEC(".maps");

/* or by their id. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 18);
	__type(key, __u64);
	__type(value, struct shared_session);
} sessions __weak SEC(".maps");

/* The same, on the program's socket, once it has asked: stays when the flow has ended. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct shared_session);
} app_sessions __weak SEC(".maps");

/* Upstream connections whose handshake is under way, by shared_opening(). */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARED_OPENINGS);
	__type(key, __u32);
	__type(value, struct shared_opening);
} openings __weak SEC(".maps");

/* Options that programs set on sockets (by cookie) whose connection is the daemon's already. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct app_options);
} changed_options __weak SEC(".maps");

/* The daemon takes the entry away before it looks: a program that repeats itself for ever does not
 * fill the ring buffer. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct shared_told);
	__type(value, __u8);
} told __weak SEC(".maps");

/* Those of which the worker's ring had no room to tell, for the worker to look for: their flow, or while
 * there is none yet their local end. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct shared_flow_end);
} untold __weak SEC(".maps");

/* Flows whose other host has died: their programs' sockets shall time out. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1 << 18);
	__type(key, __u64);
	__type(value, __u8);
} dying __weak SEC(".maps");

/* Handshakes in which the SYN came again without ENO, with its sequence number. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct shared_tuple);
	__type(value, __be32);
} withdrawn __weak SEC(".maps");

/* Secrets that other hosts may use to resume, by the half of their identifier that they send. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, SHARED_CLAIMS_MAX / 2);
	__type(key, struct shared_half);
	__type(value, struct shared_resumption);
} resumptions __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARED_CLAIMS_MAX);
	__type(key, __u32);
	__type(value, struct shared_claim);
} claims __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * SHARED_SECRETS_MAX);
	__type(key, __u32);
	__type(value, struct shared_secret);
} secrets __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * SHARED_OFFER_RINGS);
	__type(key, __u32);
	__type(value, struct shared_offers);
} offers __weak SEC(".maps");

/* The index in "offers" of a user's, to one host and port. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 2 * SHARED_OFFER_RINGS);
	__type(key, struct shared_offers_key);
	__type(value, __u32);
} offers_to __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct shared_endpoint);
	__type(value, struct shared_accepting);
} accepting __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SHARED_SLOTS);
	__type(key, __u32);
	__type(value, struct shared_worker);
} workers __weak SEC(".maps");

/* A ring buffer a worker, which alone is woken by it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SHARED_SLOTS);
	__type(key, __u32);
	__array(
		values, struct {
			__uint(type, BPF_MAP_TYPE_RINGBUF);
			__uint(max_entries, 1 << 16);
		});
} events __weak SEC(".maps");

static __always_inline struct shared_settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

/* Room for an event to a worker, or NULL. */
static __always_inline struct shared_event *event_reserve(__u32 slot)
{
	void *ring = bpf_map_lookup_elem(&events, &slot);

	return ring ? bpf_ringbuf_reserve(ring, sizeof(struct shared_event), 0) : NULL;
}

static __always_inline int worker_is_awake(const struct shared_worker *w)
{
	return w && *(const volatile __u32 *)&w->awake;
}

/* Are there events that the worker was not woken for? Then the kernel thinks that it is at work on them. */
static __always_inline int worker_is_behind(const struct shared_worker *w, __u32 slot)
{
	void *ring = bpf_map_lookup_elem(&events, &slot);

	return ring && w &&
	       *(const volatile __u64 *)&w->quiet > bpf_ringbuf_query(ring, BPF_RB_CONS_POS);
}

/* Gives the event to the worker, who is interrupted only if it waits: for a connection that is much. */
static __always_inline void event_submit(struct shared_event *e, __u32 slot)
{
	const struct shared_worker *w = bpf_map_lookup_elem(&workers, &slot);
	__u64 nothing = 0;
	void *ring;

	if (!worker_is_awake(w)) {
		bpf_ringbuf_submit(e, worker_is_behind(w, slot) ? BPF_RB_FORCE_WAKEUP : 0);
		return;
	}
	/* A full barrier: either we see that it is about to wait, or it sees the event. */
	bpf_ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	ring = worker_is_awake(w) ? NULL : bpf_map_lookup_elem(&events, &slot);
	if (ring)
		bpf_ringbuf_output(ring, &nothing, sizeof(nothing), BPF_RB_FORCE_WAKEUP);
}

#define EVENT_LEN   ((sizeof(struct shared_event) + BPF_RINGBUF_HDR_SZ + 7) & ~7ULL)
#define QUIET_BYTES (1 << 17) /* that may wait */
#define QUIET_TRIES 4

/* Where the ring ends, before an event that is submitted quietly is reserved. */
static __always_inline __u64 event_end(__u32 slot)
{
	void *ring = bpf_map_lookup_elem(&events, &slot);

	return ring ? bpf_ringbuf_query(ring, BPF_RB_PROD_POS) : 0;
}

/* Never lowered: another CPU's event may lie further on. */
static __always_inline void quiet_raise(struct shared_worker *w, __u64 to)
{
	for (int i = 0; i < QUIET_TRIES; i++) {
		__u64 before = *(volatile __u64 *)&w->quiet;

		if (before >= to || __sync_val_compare_and_swap(&w->quiet, before, to) == before)
			return;
	}
}

/* For what can wait until the worker looks by itself, once a second, or has other things to read:
 * to wake it costs as much as a small connection. */
static __always_inline void event_submit_quietly(struct shared_event *e, __u32 slot, __u64 end)
{
	void *ring = bpf_map_lookup_elem(&events, &slot);
	struct shared_worker *w = bpf_map_lookup_elem(&workers, &slot);
	__u64 flags = BPF_RB_NO_WAKEUP;

	if (!ring || !w) {
		bpf_ringbuf_submit(e, 0);
		return;
	}
	/* A full barrier: who submits another event sees this, or is seen here. */
	quiet_raise(w, end + EVENT_LEN);
	/* Once is enough: it reads all there is. */
	if (bpf_ringbuf_query(ring, BPF_RB_PROD_POS) != end + EVENT_LEN ||
	    bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) - QUIET_BYTES < EVENT_LEN)
		flags = BPF_RB_FORCE_WAKEUP;
	bpf_ringbuf_submit(e, flags);
}

static __always_inline union shared_serving settings_serving(const struct shared_settings *s)
{
	union shared_serving serving;

	serving.word = *(const volatile __u64 *)&s->serving;
	return serving;
}

/*
 * The slot of a new connection's worker: of two taken at random the one with fewer flows. That evens
 * out almost as well as asking all of them, and nothing that others write is written here.
 */
static __always_inline __u32 worker_choose(union shared_serving serving)
{
	__u32 n = serving.n_workers, random = bpf_get_prandom_u32();
	const struct shared_worker *a, *b;
	__u32 one, other;

	if (n < 2)
		return serving.first_slot;
	one = (random & 0xffff) % n;
	other = (one + 1 + (random >> 16) % (n - 1)) % n;
	one += serving.first_slot;
	other += serving.first_slot;
	a = bpf_map_lookup_elem(&workers, &one);
	b = bpf_map_lookup_elem(&workers, &other);
	return a && b && b->flows < a->flows ? other : one;
}

/* A daemon that crashed or hangs must not take connections along. */
static __always_inline int settings_daemon_lives(const struct shared_settings *s)
{
	return bpf_ktime_get_ns() - s->heartbeat_ns < SHARED_HEARTBEAT_MAX_NS;
}

static __always_inline int settings_takes_connections(const struct shared_settings *s)
{
	return !s->paused && settings_daemon_lives(s);
}

/* Can programs and servers of this family be reached over loopback? v4: of IPv4. */
static __always_inline int settings_loopback(const struct shared_settings *s, int v4)
{
	__u32 loopback[4] = { 0, 0, v4 ? bpf_htonl(0xffff) : 0, bpf_htonl(v4 ? 0x7f000001 : 1) };

	return s->loopback && bpf_map_lookup_elem(&own_addresses, loopback);
}

static __always_inline int settings_port_left_alone(const struct shared_settings *s, __u16 port)
{
	return s->left_alone[(port >> 6) & 1023] >> (port & 63) & 1;
}

/* ENO is off, whatever else is set. */
static __always_inline int wishes_off(const struct shared_wishes *w)
{
	return !w->enabled || (w->teps.set && !w->teps.len);
}

/* Wanted where the policy would leave the connection alone. */
static __always_inline int wishes_on(const struct shared_wishes *w)
{
	return w->enabled == 1 || w->tep_mandatory;
}

static __always_inline void endpoint_set_v4(struct shared_endpoint *e, __u32 addr, __u16 port)
{
	__u32 *words = (__u32 *)e->addr;

	words[0] = 0;
	words[1] = 0;
	words[2] = bpf_htonl(0xffff);
	words[3] = addr;
	e->port = port;
	e->pad = 0;
}

#endif
