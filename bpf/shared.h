/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * What the BPF programs and the engine share: the values of their maps and the events of
 * their ring buffers. Addresses are 16 bytes, IPv4 in the v4-mapped form; ports and lengths
 * are in host byte order; times are CLOCK_MONOTONIC nanoseconds.
 */
#ifndef BPF_SHARED_H
#define BPF_SHARED_H

#include <stdint.h>

#include <tcpcrypt/tcp_eno.h>

#define SHARED_OPTION_MAX  40 /* the largest TCP option area */
#define SHARED_TEPS_MAX	   4
#define SHARED_SYN_MAX	   120 /* the largest IPv4 or IPv6 header with the largest TCP header */
#define SHARED_COMM_LEN	   16
#define SHARED_WORKERS_MAX 256 /* of one daemon */

/* Each worker has a slot of its own, also beside those of a daemon that is being replaced. A
 * flow's id has its worker's slot in the low bits. */
#define SHARED_SLOTS 1024

/* The programs step aside when the daemon has not shown itself for this long. */
#define SHARED_HEARTBEAT_MAX_NS (5ULL * 1000 * 1000 * 1000)

/* How many SYNs of one connection carry ENO; the retransmissions after them go without,
 * because something on the way may eat unknown options. */
#define SHARED_SYNS_WITH_ENO 2

/* After how long the first of them are repeated: half of what TCP does otherwise, so that
 * whoever is behind such a path waits for about one more SYN timeout, not two. */
#define SHARED_SYN_TIMEOUT_MS 500

struct shared_endpoint {
	uint8_t addr[16];
	uint16_t port;
	uint16_t pad;
};

struct shared_tuple {
	struct shared_endpoint local;
	struct shared_endpoint remote;
};

/*
 * Resumption (RFC 8548 section 3.5). A secret that another host may still use to resume a session
 * has an identifier, in the map "resumptions" by the half of it that this host would send, and a
 * claim, in the array "claims" that user space has mapped. The claim is taken once, by compare
 * and exchange: by the first SYN with that half (steer.bpf.c), or by user space.
 */
#define SHARED_RESUMPTIONS_MAX 65536
#define SHARED_HALF_LEN	       9
#define SHARED_NONCE_MAX       8

struct shared_half {
	uint8_t tep; /* without v; 0: none */
	uint8_t bytes[SHARED_HALF_LEN];
};

struct shared_resumption {
	uint64_t token; /* what the claim holds as long as nobody has taken it */
	uint32_t slot;	/* index of the claim */
	uint32_t uid;	/* whose programs it is for; SHARED_UID_UNKNOWN: the daemon */
	uint16_t aead;
	uint8_t tep;
	uint8_t half[SHARED_HALF_LEN];	 /* what this host answers, */
	uint8_t nonce[SHARED_NONCE_MAX]; /* and its nonce: random, and for this identifier only */
};

#define SHARED_UID_UNKNOWN UINT32_MAX

#define SHARED_CLAIMED (1ULL << 63) /* with a hash of the SYN's ends and sequence number */

struct shared_claim {
	uint64_t state; /* a token, SHARED_CLAIMED | hash, or 0: nobody's any more */
	uint32_t since; /* CLOCK_MONOTONIC second at which a SYN claimed it; 0: none has */
	uint32_t sent;	/* enum shared_sent, what the SYN-ACK said */
};

enum shared_sent {
	SHARED_SENT_NOTHING,
	SHARED_SENT_FRESH,  /* there was no room */
	SHARED_SENT_RESUME, /* and behind it so many more bytes of nonce */
};

/*
 * Secrets of programs that encrypt by themselves, each for processes of one user. They stay in the
 * kernel, in the array "secrets", until a connection has agreed to resume with one: then the process
 * that has its socket reads it, once (TCP_CRYPT_INPROC). Their claims are those behind the daemon's
 * own. What became of one stands in its claim, with the token.
 */
#define SHARED_SECRETS_MAX  16384 /* of one daemon; there are twice as many */
#define SHARED_SECRET_FIRST (2 * SHARED_RESUMPTIONS_MAX) /* the claim of the first */
#define SHARED_CLAIMS_MAX   (SHARED_SECRET_FIRST + 2 * SHARED_SECRETS_MAX)

#define SHARED_AGREED	 (1ULL << 62) /* both ends resume with it */
#define SHARED_MISSED	 (1ULL << 61) /* offered, and the other end exchanges keys */
#define SHARED_DROPPED	 (1ULL << 60) /* used up for nothing */
#define SHARED_REFUSED	 (1ULL << 59) /* offered, and the other end wants no encryption at all */
#define SHARED_TOKEN_MAX (SHARED_REFUSED - 1)

struct shared_secret {
	uint64_t token; /* 0: none is here (any more) */
	uint64_t chain; /* the daemon's name for what it is from */
	uint32_t uid;
	uint16_t aead;
	uint8_t tep;
	uint8_t original_role; /* enum tcpcrypt_role */
	uint8_t tell;	       /* the daemon wants to know at once when it is used */
	uint8_t nonce[SHARED_NONCE_MAX];
	uint8_t identifier[2 * SHARED_HALF_LEN];
	uint8_t secret[32];
	uint8_t pad[5];
};

/* Which of them connect() offers to one host and port: a ring in the array "offers", found by the
 * map "offers_to". Programs take from the head, by compare and exchange; the daemon adds. */
#define SHARED_OFFER_RINGS 512 /* of one daemon; there are twice as many */
#define SHARED_OFFERS	   128 /* in a ring */

struct shared_offers_key {
	uint32_t uid;
	struct shared_endpoint peer;
};

struct shared_offers {
	uint64_t head, tail;
	struct {
		uint64_t token;
		uint32_t claim;
		uint32_t pad;
	} offer[SHARED_OFFERS];
};

/* Whose processes accept at a listener's end: the map "accepting". Who it was before is out of it
 * only when the other has been seen no more for a while. */
#define SHARED_ACCEPTING_NS (60ULL * 1000 * 1000 * 1000)

struct shared_accepting {
	uint32_t uid;
	uint32_t pad;
	uint64_t since;
};

/* The end of a flow that a program is shown, and the flow's id. */
struct shared_flow_end {
	struct shared_endpoint end;
	uint32_t pad;
	uint64_t flow;
};

/* The value of a socket option that is a string of bytes, as it was written. */
struct shared_bytes {
	uint8_t set; /* 0: never written, the default applies */
	uint8_t len;
	uint8_t bytes[TCP_ENO_RAW_MAX];
};

/* What a program asked for by socket options: tcp_eno(7). */
struct shared_wishes {
	int8_t enabled;
	uint8_t self_gopt;
	uint8_t aa_mandatory;
	uint8_t tep_mandatory;
	uint8_t cache_flush;
	uint8_t nonce_len;
	uint8_t inproc; /* TCP_CRYPT_INPROC */
	uint8_t pad[1];
	struct shared_bytes teps;
	struct shared_bytes aconf;
	struct shared_bytes bconf;
	struct shared_bytes raw;
};

/* What a SYN is answered with: settings and the server's wishes, as they were when the SYN came
 * first, so that each SYN-ACK has the same (8547-4.6-4). */
struct shared_terms {
	uint8_t teps[SHARED_TEPS_MAX]; /* accepted, most preferred first; 0: none */
	uint8_t global;		       /* own global suboption, without b */
	uint8_t mandatory_app_aware;
	uint8_t nonce_len;
	uint8_t wished; /* by the server, too: see the map "wished" */
};

#define SHARED_NONCE_LEN_DEFAULT 8

/* What a program may know of a flow that is encrypted or plain: the map "sessions". */
struct shared_session {
	uint64_t flow;
	uint32_t phase;			/* enum tcp_eno_phase */
	uint32_t reason;		/* enum tcp_eno_reason */
	uint8_t name[TCP_ENO_NAME_LEN]; /* role, then session ID */
	uint8_t aead[2];
	uint8_t tep_byte;
	uint8_t peer_gopt;
	uint8_t resumed;
	uint8_t transcript_len;
	uint8_t transcript[TCP_ENO_TRANSCRIPT_MAX];
};

/*
 * The same in the array "views", which user space has mapped: to show a session there takes no
 * system call. Ids that follow each other have places of their own; whose place is another's, who
 * lives on, is in the map.
 */
#define SHARED_VIEWS 2048

struct shared_view {
	uint64_t owner; /* the flow whose place it is, by compare and exchange; 0: nobody's */
	struct shared_session session; /* flow 0: not shown */
};

/* The socket options that act on the wire. */
enum app_option {
	APP_KEEPALIVE,
	APP_KEEPIDLE,
	APP_KEEPINTVL,
	APP_KEEPCNT,
	APP_USER_TIMEOUT,
	APP_SYNCNT,
	APP_MAXSEG,
	APP_NOTSENT_LOWAT,
	APP_PACING_RATE,
	APP_MARK,
	APP_TOS,
	APP_TTL,
	APP_MINTTL,
	APP_TCLASS,
	APP_HOPS,
	APP_MINHOPS,
	APP_PRIORITY, /* behind IP_TOS, which sets it too */
	APP_OPTIONS
};

#define SHARED_CONGESTION_LEN 16

/* What a program has set on its socket and the connection to the other host shall have too:
 * value[i] counts where bit i of set is 1, the name where it is not empty. */
struct app_options {
	uint32_t set;
	uint32_t free_choice; /* the name was accepted, or may be any: CAP_NET_ADMIN */
	int32_t value[APP_OPTIONS];
	char congestion[SHARED_CONGESTION_LEN];
};

/* One word, so that the programs see all of it change at once. */
union shared_serving {
	uint64_t word;
	struct {
		uint16_t first_slot; /* of the daemon's workers: each has its listeners and */
		uint16_t n_workers;  /* its ring buffer */
		uint16_t out_port;   /* loopback listeners for outgoing connections */
		uint16_t pad;
	};
};

/* The one entry of the map "settings": written by the engine, read by every program. */
struct shared_settings {
	uint64_t netns_cookie; /* act in this network namespace only */
	uint64_t heartbeat_ns; /* the daemon's last sign of life */
	uint64_t full_until;   /* until then IPv6 servers are left alone: their ports are used up */
	uint32_t syn_timeout;  /* SHARED_SYN_TIMEOUT_MS in jiffies; 0: as TCP has it */
	uint64_t serving;      /* shared_serving: who takes new connections */
	uint8_t teps[SHARED_TEPS_MAX]; /* accepted, most preferred first; 0: none */
	uint8_t global;		       /* own global suboption, without b */
	uint8_t mandatory_app_aware;
	uint8_t paused;	  /* take no new connections */
	uint8_t wishes;	  /* set when the first program wishes anything: look for wishes */
	uint8_t loopback; /* lo is up */
	uint8_t claims;	  /* which half of "claims" the daemon has: the other may be that of one
			   * which it replaces */
	/* What the options read when nothing was written. */
	struct shared_bytes default_teps;
	struct shared_bytes default_aconf;
	struct shared_bytes default_bconf;
	struct app_options usual;  /* of sockets whose programs have set nothing */
	uint32_t remember_seconds; /* destinations that turned out plain, ENO_SOCK_INPROC */
	uint8_t guarded;	   /* inproc_guard.bpf.c is attached */
	uint8_t pad2[3];
	uint64_t left_alone[1024]; /* one bit a port */
};

/* An entry of "workers": two cache lines of its own. The first changes with each connection, and that
 * worker alone writes it, but for quiet and unheard; the second, which whoever resumes reads of all workers, with each flush. */
struct shared_worker {
	uint32_t flows;	  /* that it carries: new connections go to those who have fewer */
	uint32_t awake;	  /* it will look at its ring buffer before it waits */
	uint64_t begun;	  /* that the slot has seen: no id comes twice */
	uint64_t quiet;	  /* so far its ring has events that nobody was woken for: event_submit() */
	uint32_t unheard; /* how often its ring had no room: see "unheard" and "untold" */
	uint32_t pad[9];
	/* How often programs have asked it by TCP_CRYPT_CACHE_FLUSH (setsockopt.bpf.c), */
	uint32_t flushes;
	uint32_t flushed; /* and how often it has done so; until then nothing is resumed */
	uint32_t pad2[14];
};

static inline uint64_t shared_flow_id(uint64_t begun, uint32_t slot)
{
	return begun * SHARED_SLOTS + slot;
}

static inline uint32_t shared_flow_slot(uint64_t id)
{
	return id % SHARED_SLOTS;
}

/* The index in "views". */
static inline uint32_t shared_view(uint64_t id)
{
	return (id / SHARED_SLOTS + shared_flow_slot(id) * 509) % SHARED_VIEWS;
}

/* The index in "listeners" of a slot's, for local programs (out) or for steered SYNs. */
static inline uint32_t shared_listener(uint32_t slot, uint32_t out, uint32_t v6)
{
	return slot * 4 + out * 2 + v6;
}

/* An entry of "steered" and "held": a handshake that is the daemon's. */
struct shared_handshake {
	uint32_t slot;		   /* its worker's; SHARED_SLOTS: nobody's, it is refused */
	uint32_t mandatory;	   /* never to be passed to the server itself */
	uint32_t uid;		   /* steered: whose the server's listener is */
	struct shared_terms terms; /* steered */
};

enum eno_sock_kind {
	ENO_SOCK_UPSTREAM = 1, /* the daemon's connection to another host: offers ENO */
	ENO_SOCK_STEERED,      /* the listener for steered SYNs, and what it accepts */
	ENO_SOCK_TO_APP,       /* the daemon's connection to a local server */
	ENO_SOCK_RAW,	       /* a program's own, with TCP_ENO_RAW */
	ENO_SOCK_INPROC,       /* a program's own, with the in-process library */
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
	ENO_SOCK_SYN_RETRIES, /* given up after SHARED_SYNS_WITH_ENO SYNs, here or there */
	ENO_SOCK_SYN_COOKIE,  /* the handshake was made by SYN cookie */
};

/* Has this socket's first payload left, and was it one that may? */
enum eno_sock_guard { ENO_SOCK_GUARDED, ENO_SOCK_PASSED, ENO_SOCK_VIOLATED };

/* A socket's entry in "eno_socks" (socket storage): those that carry ENO themselves. */
struct eno_sock {
	uint32_t kind;	/* enum eno_sock_kind */
	uint32_t state; /* enum eno_sock_state */
	uint32_t reason;
	uint32_t syns;	   /* SYNs sent so far, without SYN-ACKs */
	uint32_t own_len;  /* SYN-form option this host sent; 0: none */
	uint32_t peer_len; /* the peer's, 0: none that counts */
	uint8_t own[SHARED_OPTION_MAX];
	uint8_t peer[SHARED_OPTION_MAX];
	uint8_t teps[SHARED_TEPS_MAX]; /* offered in own, any order; 0: none */
	uint8_t mandatory_app_aware;
	uint8_t raw_role; /* ENO_SOCK_RAW: 1 as host B */
	uint8_t required; /* no plain connection: no SYN without the option (active opener), and what
			   * becomes plain is refused */
	/* ENO_SOCK_UPSTREAM: own offers to resume a session; what is to be offered instead when
	 * that has no room; how much of the nonce at own's end may be left out first. */
	uint8_t nonce_len;
	uint8_t fresh_len;
	uint8_t guard;	 /* ENO_SOCK_INPROC: enum eno_sock_guard */
	uint8_t resumes; /* both have agreed to */
	uint8_t orderly; /* ENO_SOCK_INPROC: when the handshake ended SO_LINGER was off */
	struct shared_half peer_half; /* with which the peer would agree; tep 0: nothing offered */
	uint8_t fresh_teps[SHARED_TEPS_MAX];
	uint8_t fresh[SHARED_OPTION_MAX];
	/* The claim that the SYN has taken, of those that were accepted and of all ENO_SOCK_INPROC;
	 * token 0: none. */
	uint32_t resumed_slot;
	uint64_t resumed_token;
	uint32_t uid; /* ENO_SOCK_STEERED, accepted: whose the server is */
	uint32_t pad2;
	uint64_t chain; /* ENO_SOCK_INPROC: of the secret that it resumes with; 0: none */
	/* ENO_SOCK_TO_APP: whom the server shall see; ENO_SOCK_UPSTREAM: its own end. */
	struct shared_flow_end client;
	uint64_t program;	     /* ENO_SOCK_UPSTREAM: cookie of the program's socket, */
	uint64_t flow;		     /* and whose flow it is */
	struct shared_wishes wishes; /* ENO_SOCK_STEERED, accepted: the server's */
	/* ENO_SOCK_INPROC: the sequence number at which the next message or frame begins, and what
	 * has left of its header. */
	uint32_t next_seq;
	uint32_t header_len;
	uint8_t header[8];
};

/*
 * The same for a connection that the daemon opens, in the array "openings", which user
 * space has mapped: to mark a socket and to read what became of it take no system call then. A place is
 * a flow's until that has been read; who finds it taken does with system calls. stage is the flow's id and
 * what may be done, and changes by compare and exchange only, so that nobody touches what is another's.
 */
#define SHARED_OPENINGS 256

enum shared_opening_stage {
	SHARED_OPENING_FILLING = 1, /* by the daemon */
	SHARED_OPENING_OFFERED, /* for the socket on which SO_OOBINLINE is set with shared_inline */
	SHARED_OPENING_MARKED,	/* the socket has it */
	SHARED_OPENING_TELLING, /* the programs are writing what became of it */
	SHARED_OPENING_TOLD,
};

struct shared_opening {
	uint64_t stage; /* shared_opening_stage(); 0: nobody's */
	uint64_t token; /* of the daemon: no other process knows it */
	struct eno_sock sock;
};

/* The value of SO_OOBINLINE that the daemon sets on the socket; the kernel reads the first. */
struct shared_inline {
	int32_t on;
	uint32_t place;
	uint64_t token;
};

/* The index in "openings". */
static inline uint32_t shared_opening(uint64_t id)
{
	return shared_view(id) % SHARED_OPENINGS;
}

static inline uint64_t shared_opening_stage(uint64_t flow, enum shared_opening_stage stage)
{
	return flow << 3 | stage;
}

static inline uint64_t shared_opening_flow(uint64_t stage)
{
	return stage >> 3;
}

/*
 * The in-process library's own option, at level IPPROTO_TCP. Written before connect() or
 * listen(), int 1: this process encrypts what the socket negotiates; 2: and knows how to resume
 * sessions; 3: and what ENODATA is; EAGAIN: ask again in a moment. 4: a
 * listener that an engine before this one has marked is marked again; EISCONN: only so. Read: what was negotiated; ENOENT: the
 * socket was left alone; ENODATA: so it was, and the destination is known as plain; ESTALE: neither it nor its
 * listener was marked, as far as this engine knows. Programs that are linked with libtcpcrypt have this inside, of whatever version: it grows
 * at its end only.
 */
#define TCP_CRYPT_INPROC 1060

enum shared_inproc_mark {
	SHARED_INPROC_OFF,
	SHARED_INPROC_ON,
	SHARED_INPROC_RESUMES,
	SHARED_INPROC_REMEMBERS,
	SHARED_INPROC_AGAIN, /* as RESUMES */
};

enum shared_inproc_resumed {
	SHARED_INPROC_FRESH,
	SHARED_INPROC_RESUMED,	/* with the secret, which is told once */
	SHARED_INPROC_WITHHELD, /* with one that is another user's, or gone */
};

struct shared_inproc {
	uint8_t state;	/* enum eno_sock_state */
	uint8_t reason; /* enum eno_sock_reason */
	uint8_t passive;
	uint8_t mandatory_app_aware;
	uint8_t own_len;
	uint8_t peer_len;
	uint8_t required; /* disabled is refused */
	uint8_t resumed;  /* enum shared_inproc_resumed */
	uint8_t own[SHARED_OPTION_MAX];
	uint8_t peer[SHARED_OPTION_MAX];
	struct shared_tuple ends;
	struct shared_secret secret;
	uint8_t offered;  /* this end has offered to resume */
	uint8_t no_cache; /* TCP_CRYPT_CACHE_FLUSH: keep nothing of this session */
	uint8_t orderly;  /* SO_LINGER was off when the handshake ended; 0: or who knows */
	uint8_t pad[5];
};

/* A local program's socket in "app_socks" (socket storage): what its owner sees. */
struct app_sock {
	struct shared_endpoint peer;  /* shown by getpeername() and accept() */
	struct shared_endpoint local; /* shown by getsockname(); port 0: the real one */
	struct app_options options;
	uint32_t mark;
	uint32_t uid;
	uint32_t pid;
	char comm[SHARED_COMM_LEN];
	uint16_t passive; /* accepted, not connected */
	uint16_t
		remembered; /* there is an entry for peer in "plain_destinations", of whatever age */
	uint16_t slot;	    /* of the worker that carries it */
	uint16_t port;	    /* of the daemon, that connect() was turned to */
	uint32_t policy;    /* enum policy_action, of a socket that connects */
	uint64_t flow;	    /* 0: not known yet */
	uint64_t cookie;
};

/* Something that is under way to the daemon and need not be told twice: "told". */
struct shared_told {
	uint64_t cookie;
	uint32_t type;
	uint32_t pad;
};

/* An entry of "plain_destinations". */
struct shared_plain {
	uint64_t until;
	uint32_t seconds; /* how long it was remembered for, when that grows; else 0 */
	uint32_t pad;
};

/* Why a connection is left alone, where policy `require` does not let it be so. */
enum shared_left_alone {
	SHARED_NOT_LEFT_ALONE,
	SHARED_BY_CHOICE,     /* never under `require` */
	SHARED_NO_DAEMON,     /* none runs, or it has not begun yet */
	SHARED_DAEMON_PAUSED, /* at its limits, or ending */
	SHARED_DAEMON_HANGS,
	SHARED_TIED,	    /* bound to a device, a port, or an address that is no other's to use */
	SHARED_NO_LOOPBACK, /* of that family */
	SHARED_SIGNED,	    /* TCP MD5 or TCP-AO */
	SHARED_MULTIPATH,
	SHARED_NEAR_ONLY,  /* IP_MINTTL or the like */
	SHARED_IP_OPTIONS, /* or extension headers */
	SHARED_LINK_LOCAL,
	SHARED_WISH, /* the program itself switched encryption off */
	SHARED_RAW,  /* the program brings its own TEP */
	SHARED_NO_MEMORY,
	SHARED_WITHOUT_ENO, /* the other host's SYN */
	SHARED_UNSERVABLE,  /* the server is bound to a device, or wants signatures */
	SHARED_QUEUE_FULL,  /* the server's */
};

/* A connection that policy refused before there was a flow: the ring buffer "refusals". */
struct shared_refusal {
	uint64_t time_ns;
	struct shared_endpoint local; /* port 0: not known */
	struct shared_endpoint remote;
	uint32_t outgoing;
	uint32_t why;  /* enum shared_left_alone */
	uint32_t line; /* of the rule */
	uint32_t pid;
	char comm[SHARED_COMM_LEN];
};

enum shared_event_type {
	SHARED_EVENT_HELD_SYN = 1, /* a program's connect() awaits release or refusal */
	SHARED_EVENT_GAVE_UP,	   /* the program closed that socket: app.local, its loopback end */
	SHARED_EVENT_REMEMBERED,   /* went out natively: the destination is known as plain */
	SHARED_EVENT_REKEY,	   /* TCP_CRYPT_REKEY */
	SHARED_EVENT_MANDATORY,	   /* TCP_ENO_TEP_MANDATORY after the SYN: value */
	SHARED_EVENT_OPTIONS,	   /* "changed_options" has news of the program's socket */
	SHARED_EVENT_CACHE_FLUSH,  /* TCP_CRYPT_CACHE_FLUSH */
	SHARED_EVENT_GUARD,	   /* the first program encrypts by itself: attach the guard */
	SHARED_EVENT_LEAK,	   /* it would have sent plain text: cookie's socket must go */
	SHARED_EVENT_PLAIN,	   /* a server that wants none has a plain connection: likewise */
	SHARED_EVENT_SECRET,	   /* one of its claims (value) was taken, or has come to an end */
	SHARED_EVENT_FORGET, /* TCP_CRYPT_CACHE_FLUSH by a program that encrypts by itself: what
			      * its connection (ends) began, or resumed (chain) */
};

struct shared_event {
	uint32_t type;
	uint32_t syn_len; /* bytes of IP and TCP header in syn */
	uint64_t cookie;  /* of the program's socket */
	struct app_sock app;
	struct shared_tuple ends;    /* HELD_SYN: of that socket, on loopback; FORGET */
	struct shared_wishes wishes; /* zero: none */
	uint64_t chain;
	uint32_t value;
	uint8_t syn[SHARED_SYN_MAX];
};

#endif
