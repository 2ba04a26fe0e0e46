/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine owns the BPF programs of one network namespace: it loads and attaches them,
 * writes their settings, marks the daemon's sockets for them and tells what was negotiated
 * on a socket. It knows nothing of flows.
 *
 * Every worker has a lane of the engine: the functions that take one are for that worker's
 * thread. Those that mark and ask may be called by every thread; those that configure, attach
 * and follow interfaces by one thread only.
 *
 * Functions return 0 or a negative errno value.
 */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/shared.h"
#include "engine/heritage.h"
#include "engine/guard.h"
#include "engine/vault.h"
#include "engine/window.h"

struct engine;
struct engine_lane;

/* What connections begin with, unless their programs wish something else. */
struct engine_policy {
	const uint8_t *teps; /* in decreasing preference, at most SHARED_TEPS_MAX */
	size_t n_teps;
	const uint16_t *aeads; /* in decreasing preference; for socket options to read */
	size_t n_aeads;
	const uint64_t *left_alone;    /* 1024 words, one bit a port; NULL: none */
	unsigned int remember_seconds; /* plain destinations of programs that encrypt themselves */
};

struct engine_params {
	uint16_t out_port;	/* loopback listeners for local programs; 0: no outgoing steering */
	unsigned int n_workers; /* 1 to SHARED_WORKERS_MAX */
	struct engine_policy policy;
	struct heritage *heritage; /* NULL, or what the daemon leaves that is to be replaced */
};

/* The number by which the kernel knows the calling thread's network namespace. */
int engine_find_netns(uint64_t *ret);

/*
 * Loads the programs for the calling thread's network namespace and finds the cgroup v2
 * hierarchy. With a heritage they share its maps; -ESTALE: these are not what they expect;
 * -ENOSPC: so many daemons are ending that there are no slots for the workers.
 */
int engine_open(const struct engine_params *params, struct engine **ret);

/*
 * Attaches the programs, which from now on see the marked sockets; listeners must be opened
 * after this. (With a heritage the other daemon's do, until engine_take_over().) No connection is taken before engine_set_paused(e, false); interfaces are added
 * by engine_interface_add().
 */
int engine_attach(struct engine *e);

/*
 * Replaces the policy, for connections that begin afterwards. (One whose SYN-ACK
 * was made before and whose ACK comes after a change of TEPs does not survive it.) 0 or -EINVAL.
 */
int engine_configure(struct engine *e, const struct engine_policy *policy);

/*
 * These rules, first match first, for connections that begin afterwards. With a rule that
 * requires encryption the guard is pinned, which outlives this process; without one it is taken
 * away. After engine_attach(), and after the own addresses are known. An error changes nothing.
 */
int engine_enforce(struct engine *e, const struct policy_rule *rules, size_t n);

/* Before root's rights are dropped: what engine_enforce() needs goes to this user. */
int engine_hand_over(struct engine *e, uid_t uid, gid_t gid);

/* Before the first engine_enforce(): what an earlier guard refused while no daemon ran. */
void engine_pinned_refusals(struct engine *e, guard_refusal_handler *handler, void *data);

/* Connections that the rules refused come on this descriptor; see guard.h. */
int engine_refusals_fd(const struct engine *e);
void engine_refusals_dispatch(struct engine *e, guard_refusal_handler *handler, void *data);

/* Paused, the programs leave new connections alone; those under way go on. */
void engine_set_paused(struct engine *e, bool paused);

/*
 * For programs that encrypt by themselves: attaches the guard against plain text of theirs, once;
 * and ends a socket, by its cookie, that would have sent some.
 */
int engine_inproc_guard(struct engine *e);
int engine_destroy(uint64_t cookie);

/*
 * An engine leaves its maps and links to another daemon's, which loads its programs and opens its
 * lanes beside it. Then this one yields: it stops to write settings and to care for interfaces;
 * its flows go on. The other takes over: all at once the programs are its own, and new
 * connections. The first may take over again if the other is gone. Taking over is for who has
 * just heard of all interfaces and addresses: it comes back to what was set while it had yielded.
 */
int engine_bequeath(struct engine *e, struct heritage *to);
void engine_yield(struct engine *e);
int engine_take_over(struct engine *e);

/* Takes back all secrets that the daemons that came after this one have left, which nobody could
 * resume with any more. They must be gone, and none be stored here since this one yielded. */
void engine_revoke(struct engine *e);

/* Frees the slots of daemons that were killed, and what their flows had of the memory that all share: all
 * but this one's and those that in_use tells. */
void engine_sweep_slots(struct engine *e, bool (*in_use)(void *data, unsigned int slot),
			void *data);

/* How many flows there are in these slots, whosever they are. */
size_t engine_flows(const struct engine *e, unsigned int first_slot, unsigned int n);

/* Detaches everything, unless it has yielded, and frees the engine. Accepts NULL. */
void engine_close(struct engine *e);

/* Tells the programs that the daemon was alive at that time, in nanoseconds of CLOCK_MONOTONIC;
 * at least once a second. */
void engine_heartbeat(struct engine *e, uint64_t time_ns);

/* Where the cgroup hierarchy is, and which namespace is served; valid as long as e is. */
const char *engine_cgroup(const struct engine *e);
uint64_t engine_netns_cookie(const struct engine *e);

/*
 * Puts the programs on an interface: SYNs with ENO that come in there are steered; on lo the
 * SYNs of local programs are held. Adding one again is harmless. remove is for interfaces
 * that stay but shall be left; those that vanish need nothing.
 */
int engine_interface_add(struct engine *e, int ifindex, bool loopback);
void engine_interface_remove(struct engine *e, int ifindex);

/* Whether lo is up: without it neither programs nor servers reach the daemon, and new connections
 * are left alone; those of a family that has no loopback address as well. */
void engine_set_loopback(struct engine *e, bool up);

/* For so many seconds IPv6 connections from other hosts are left alone. */
void engine_leave_servers_v6(struct engine *e, unsigned int seconds);

/* This host's own addresses, to which connections stay on the host. */
int engine_own_address_add(struct engine *e, const uint8_t addr[16]);
int engine_own_address_remove(struct engine *e, const uint8_t addr[16]);

/* Takes away what is none any more: a daemon before may have left it. */
void engine_own_addresses_sweep(struct engine *e,
				bool (*is_own)(const void *data, const uint8_t addr[16]),
				const void *data);

/* What a SYN offers: the SYN-form option (kind and length included) and the TEPs in it. */
struct engine_offer {
	uint8_t option[SHARED_OPTION_MAX];
	size_t len;
	uint8_t teps[SHARED_TEPS_MAX]; /* 0: none */
	bool mandatory_app_aware;
	/* Rather this one, which offers to resume a session, as far as there is room for it
	 * without the last nonce_len bytes; the peer would agree with peer_half. resume_len 0: no. */
	uint8_t resume[SHARED_OPTION_MAX];
	size_t resume_len;
	size_t nonce_len;
	struct shared_half peer_half;
};

/* Before connect(): fd makes this offer, on behalf of the program whose SYN is held: from now on
 * the program's getsockname() tells fd's local end. Sets SO_OOBINLINE. */
int engine_mark_upstream(struct engine *e, int fd, const struct engine_offer *offer,
			 const struct shared_event *held, uint64_t flow);

/* When its handshake is over: what the programs recorded for it, once. 0 or negative. */
int engine_upstream(struct engine *e, int fd, uint64_t flow, struct eno_sock *ret);

/* Nobody will ask any more; fd is closed. */
void engine_forget_opening(struct engine *e, uint64_t flow);

/* Before listen(): the listener for steered SYNs. What it accepts inherits the mark. */
int engine_mark_steered(struct engine *e, int fd);

/* After listen(): what is this worker's of the steered SYNs of its family, or (out) of those of
 * local programs, goes to this listener, until it is closed. */
int engine_lead_to(struct engine *e, unsigned int slot, int fd, bool out, bool v6);

/* Before connect(): fd goes to a local server, which shall see client as its peer and, by
 * socket options, the session of this flow. Sets SO_OOBINLINE. */
int engine_mark_to_app(struct engine *e, int fd, const struct shared_endpoint *client,
		       uint64_t flow);

/* Before such a socket is closed that was never connected: nobody else shall be shown client. */
void engine_forget_to_app(struct engine *e, const struct shared_endpoint *local,
			  const struct shared_endpoint *server);

/* Where the secrets go that other hosts may resume with; valid as long as e is. */
struct window *engine_window(struct engine *e);

/* Where those go that programs use which encrypt by themselves; likewise. */
struct vault *engine_vault(struct engine *e);

/* What the programs recorded for a marked socket. */
int engine_eno(struct engine *e, int fd, struct eno_sock *ret);

/*
 * Destinations that turned out plain: for so many seconds they are left alone. grows: each
 * time that this happens again it is twice as long, up to a day, until the destination is
 * forgotten or remembered for another reason. forget_plain forgets all of them.
 */
int engine_remember_plain(struct engine *e, const struct shared_endpoint *dst, unsigned int seconds,
			  bool grows);
int engine_forget_one(struct engine *e, const struct shared_endpoint *dst);
int engine_forget_plain(struct engine *e);

/* What programs may read of a flow by socket options, from now on and no more. */
int engine_session_publish(struct engine *e, const struct shared_session *session);
void engine_session_withdraw(struct engine *e, uint64_t flow);

/* The slots of the workers: so many, from this one on. */
unsigned int engine_first_slot(const struct engine *e);

/* The lane of the worker with this slot; to be closed before the engine, by whatever thread.
 * close accepts NULL. */
int engine_lane_open(struct engine *e, unsigned int slot, struct engine_lane **ret);
void engine_lane_close(struct engine_lane *lane);

/* Counts the flows that the slot has ever had; valid as long as the engine is. */
uint64_t *engine_lane_begun(struct engine_lane *lane);

/* How many flows the worker carries: new ones go to those who have fewer. */
void engine_lane_set_flows(struct engine_lane *lane, size_t n);

/* How often programs have given up, or set options, unheard, because there was no room for the event; and
 * has this socket's given up? (Told once.) */
uint32_t engine_lane_unheard(const struct engine_lane *lane);
bool engine_gave_up(struct engine *e, uint64_t cookie);

/* One SHARED_EVENT_CACHE_FLUSH has been served: the session is forgotten. */
void engine_lane_flushed(struct engine_lane *lane);

/*
 * This descriptor tells a worker that waits of its events; dispatch calls handler for each that has
 * arrived. The event is only valid during the call. waits: the caller is about to wait, unless true
 * is returned: then there were some. Who does not call it with this before he waits misses events.
 */
int engine_lane_fd(const struct engine_lane *lane);
bool engine_lane_dispatch(struct engine_lane *lane, bool waits,
			  void (*handler)(const struct shared_event *, void *), void *data);

/* The options that the program has set on its socket since its connection is the daemon's. 0, or
 * negative when they are known no more. */
int engine_options_take(struct engine *e, uint64_t cookie, struct app_options *ret);

/* Those sockets of whose options there was no room to tell: *cookie, 0 at first, becomes the next one's,
 * *ret its flow, or while that is 0 its local end. False: there is none. told: its worker knows. */
bool engine_untold_next(struct engine *e, uint64_t *cookie, struct shared_flow_end *ret);
void engine_untold_told(struct engine *e, uint64_t cookie);

/* The program's socket of this flow shall end with ETIMEDOUT, a few seconds after run(); the
 * caller's must answer it no more. */
int engine_time_out(struct engine *e, uint64_t flow);
int engine_time_out_run(struct engine *e);

/*
 * Lets a held SYN go: the program's connect() completes, its getsockname() will tell the local end
 * of the marked upstream, and its socket options the session of its flow. refuse makes connect() fail with error, a
 * positive errno value; for those that no packet can express it becomes the nearest.
 */
int engine_release(struct engine_lane *lane, const struct shared_event *held);
int engine_refuse(struct engine_lane *lane, const struct shared_event *held, int error);

#endif
