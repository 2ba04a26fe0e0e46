/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the BPF programs and the engine share: the values of their maps and the events of
 * their ring buffer. Addresses are 16 bytes, IPv4 in the v4-mapped form; ports and lengths
 * are in host byte order; times are CLOCK_MONOTONIC nanoseconds.
 */
#ifndef BPF_SHARED_H
#define BPF_SHARED_H

#include <stdint.h>

#define SHARED_OPTION_MAX 40 /* the largest TCP option area */
#define SHARED_TEPS_MAX	  4
#define SHARED_SYN_MAX	  120 /* the largest IPv4 or IPv6 header with the largest TCP header */
#define SHARED_COMM_LEN	  16

/* The programs step aside when the daemon has not shown itself for this long. */
#define SHARED_HEARTBEAT_MAX_NS (5ULL * 1000 * 1000 * 1000)

/* How many SYNs of one connection carry ENO; the retransmissions after them go without,
 * because something on the way may eat unknown options. */
#define SHARED_SYNS_WITH_ENO 2

struct shared_endpoint {
	uint8_t addr[16];
	uint16_t port;
	uint16_t pad;
};

struct shared_tuple {
	struct shared_endpoint local;
	struct shared_endpoint remote;
};

/* The one entry of the map "settings": written by the engine, read by every program. */
struct shared_settings {
	uint64_t netns_cookie; /* act in this network namespace only */
	uint64_t heartbeat_ns; /* the daemon's last sign of life */
	uint64_t cookie_ns;    /* when a SYN cookie was last sent from the steered listener */
	uint32_t release_mark; /* skb mark of SYNs that the daemon sends again */
	uint16_t out_port;     /* loopback listener for outgoing connections */
	uint16_t in_port;      /* loopback listener for steered incoming ones */
	uint8_t teps[SHARED_TEPS_MAX]; /* accepted, most preferred first; 0: none */
	uint8_t global;		       /* own global suboption, without b */
	uint8_t mandatory_app_aware;
	uint8_t paused; /* take no new connections */
	uint8_t pad;
	uint64_t left_alone[1024]; /* one bit a port */
};

enum eno_sock_kind {
	ENO_SOCK_UPSTREAM = 1, /* the daemon's connection to another host: offers ENO */
	ENO_SOCK_STEERED,      /* the listener for steered SYNs, and what it accepts */
	ENO_SOCK_OUTGOING,     /* the listener for local programs, and what it accepts */
	ENO_SOCK_TO_APP,       /* the daemon's connection to a local server */
};

enum eno_sock_state {
	ENO_SOCK_PENDING,  /* awaits the segment that decides */
	ENO_SOCK_ENABLED,  /* encryption is on: no plain payload may ever follow */
	ENO_SOCK_DISABLED, /* plain TCP for good */
};

/* Why it was disabled, where the two options alone do not tell. */
enum eno_sock_reason {
	ENO_SOCK_BY_OPTIONS,  /* own and peer option decide: see tcpcrypt_eno_negotiate() */
	ENO_SOCK_NO_ACK,      /* the first ACK came without ENO */
	ENO_SOCK_SYN_RETRIES, /* given up after SHARED_SYNS_WITH_ENO SYNs */
	ENO_SOCK_SYN_COOKIE,  /* the handshake was made by SYN cookie */
};

/* A socket's entry in "eno_socks" (socket storage): the daemon's own sockets only. */
struct eno_sock {
	uint32_t kind;	/* enum eno_sock_kind */
	uint32_t state; /* enum eno_sock_state */
	uint32_t reason;
	uint32_t syns;	   /* SYNs sent so far */
	uint32_t own_len;  /* SYN-form option this host sent; 0: none */
	uint32_t peer_len; /* the peer's, 0: none that counts */
	uint8_t own[SHARED_OPTION_MAX];
	uint8_t peer[SHARED_OPTION_MAX];
	uint8_t teps[SHARED_TEPS_MAX]; /* offered in own, any order; 0: none */
	uint8_t mandatory_app_aware;
	uint8_t pad[3];
	struct shared_endpoint client; /* ENO_SOCK_TO_APP: whom the server shall see */
};

/* A local program's socket in "app_socks" (socket storage): what its owner sees. */
struct app_sock {
	struct shared_endpoint peer;  /* shown by getpeername() and accept() */
	struct shared_endpoint local; /* shown by getsockname(); port 0: the real one */
	uint32_t mark;
	uint32_t uid;
	uint32_t pid;
	char comm[SHARED_COMM_LEN];
};

enum shared_event_type {
	SHARED_EVENT_HELD_SYN = 1, /* a program's connect() awaits release or refusal */
	SHARED_EVENT_REMEMBERED,   /* went out natively: the destination is known as plain */
};

struct shared_event {
	uint32_t type;
	uint32_t syn_len; /* bytes of IP and TCP header in syn */
	uint64_t cookie;  /* of the program's socket */
	struct app_sock app;
	uint8_t syn[SHARED_SYN_MAX];
};

#endif
