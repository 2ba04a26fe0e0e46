/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A connection of the program that negotiates or has negotiated encryption: what all processes
 * and threads that have its socket share. Everything but conn_new() wants it locked; the lock is
 * never held while something waits.
 *
 * I/O functions return what they did or a negative errno value. -EAGAIN: the socket must become
 * readable or writable first.
 */
#ifndef INPROC_CONN_H
#define INPROC_CONN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <tcpcrypt/session.h>
#include <tcpcrypt/tcp_eno.h>

#include "bpf/shared.h"
#include "inproc/keys.h"
#include "inproc/lives.h"

enum conn_phase {
	CONN_EXPECT_TCP,  /* connect() is under way: nothing is negotiated yet */
	CONN_EXPECT_KEYS, /* encryption is negotiated: only Init messages so far */
	CONN_OPEN,
	CONN_PLAIN,  /* nothing was negotiated, or nobody answered: leave the socket alone */
	CONN_FAILED, /* reset: each direction's next call says so */
};

/* From the network, in one buffer: opened bytes, then others. */
struct conn_rx {
	uint8_t *buffer;
	size_t plain_at, plain_len; /* opened, not yet read by the program */
	uint64_t read;		    /* by the program: the next one's place in the stream */
	size_t start, end;	    /* not yet opened */
	size_t need;		    /* bytes from start that the session waits for */
	uint64_t taken,
		looked_at; /* bytes from the kernel; of these, when calls_took_all() looked */
	/*
	 * The last byte of what was opened was only looked at, so that the kernel shows the
	 * socket as readable until the program has read it all.
	 */
	bool held;
	size_t seen; /* bytes that the kernel had, with the held one, when a further frame was looked for */
	bool ended; /* during a call: the kernel had no more, and never will */
};

/* The byte that the peer has marked last: see urgent.h. */
struct conn_urgent {
	enum {
		URGENT_NONE,	 /* or the program has read past it */
		URGENT_EXPECTED, /* announced, but still to come */
		URGENT_UNREAD,
		URGENT_READ, /* by recv(MSG_OOB) */
	} state;
	bool wanted; /* the program looks for such, and stops at marks: frames are opened one by one */
	bool owned; /* it is told by SIGURG, so that they are opened as they come */
	bool out;   /* it is not in the stream; else it came with SO_OOBINLINE set */
	uint8_t byte;
	uint64_t at;	/* its place in the stream */
	uint32_t asked; /* tx.calls when poll() was asked for it, and one more */
};

/* To the network. */
struct conn_tx {
	uint8_t *buffer; /* frames that the kernel has not taken yet */
	size_t start, end;
	uint8_t *queue; /* what the program wrote before there were keys */
	size_t queued;
	size_t urgent; /* the end of what was written urgently last; 0: nothing */
	bool full;     /* the queue was, and the program heard of it */
	size_t chunk;  /* data in a frame */
	unsigned int run;
	uint32_t calls; /* of the program's, since whenever */
	/* A small write, and a file behind it: see tx_write(). */
	bool brief;	  /* the last call was such a write, */
	bool held;	  /* and is not given to the kernel yet; */
	uint8_t pairs;	  /* so often in a row a file came next, */
	bool quick;	  /* and the last ones soon after each other, */
	uint64_t pair_ms; /* at this time */
};

struct conn {
	pthread_mutex_t lock;
	bool lock_made;
	uint32_t life; /* another number for each connection that was in the slot */
	/* Zeroed for each connection from here on. */
	enum conn_phase phase;
	/* Where it was, and this code, when its pointers were right the last time: conn_rebind(). */
	struct conn *at;
	const char *code;
	int rx_error, tx_error; /* not yet told to the program */
	int cause;		/* of CONN_FAILED, if it is the session's: enum tcpcrypt_error */
	unsigned int refs;	/* descriptors of all processes */
	unsigned int holds;	/* others that keep the slot */
	uint64_t rekey_bytes;	/* 0: the AEAD's default */
	bool passive;
	bool connecting; /* connect() has been called and has not returned yet, */
	life connector;	 /* by this process; 0: nobody knows */
	bool eof;	 /* the peer's FINp was opened */
	bool rx_shut;	 /* by the program */
	bool fin_wanted; /* FINp shall follow what is queued */
	bool fin_sealed;
	bool fin_shut;	/* TCP's FIN, too */
	bool resets;	/* closed so that it is reset when what is queued has gone */
	bool watched;	/* by the helper of a process that has no share */
	bool moving;	/* who has the lock may be changing the streams */
	bool tx_broken; /* nothing can be sent any more; what came before is still to be read */
	bool orphaned;	/* who had the lock was killed; the socket is still to be reset */
	life timer;	/* whose helper comes to look in a moment; 0: nobody's */
	bool may_block; /* a call found that it had to wait, and may: see calls.c */
	bool proving;	/* somebody waits for the peer's answer to a key update */
	/* What the daemon is told. */
	uint64_t id; /* among all of a user's; 0: nothing any more */
	int error;   /* what broke it: an errno value; 0: nothing */
	bool reported;
	bool fresh; /* one end has offered to resume, and is, if not resumed, not known */
	double started;
	struct shared_tuple ends;
	uint64_t chain;	     /* of the secret that it resumed with */
	bool no_cache;	     /* nothing is kept for a later session */
	bool orderly;	     /* when the handshake ended SO_LINGER was off */
	atomic_bool lingers; /* it has been set since, or unset */
	int rcvlowat;	     /* the program's SO_RCVLOWAT; the kernel has 1. 0: not asked for yet */
	/* What the program has read of the session, whatever became of that: tcp_eno(7). */
	bool known, known_resumed;
	uint16_t known_aead;
	uint8_t known_name[TCP_ENO_NAME_LEN];
	struct conn_rx rx;
	struct conn_urgent urgent;
	struct conn_tx tx;
	struct keys_shared keys;
	struct tcpcrypt_session *session; /* behind this, in the same slot */
};

/* Who wants to know what becomes of connections (locked): the daemon's ledger, by report.h. */
struct conn_observer {
	void (*established)(struct conn *c);
	/* For whatever reason: the session is there yet. */
	void (*ended)(struct conn *c);
	/* Nothing was negotiated; refused: and that is not allowed. */
	void (*plain)(const struct shared_inproc *inproc, bool refused);
	/* The peer has answered a key update (proving). */
	void (*proven)(struct conn *c);
	/* A process that was forked makes use of its connections. */
	void (*process)(void);
};
extern const struct conn_observer *conn_observer; /* NULL: nobody */

/* The program makes use of urgent data, perhaps on sockets that are still to be connected. */
extern atomic_bool conn_urgent_wanted;

/* The destination of what conn_negotiated() looked at last, in this thread, is known as plain. */
extern __thread bool conn_remembered;

/* They have not heard yet of what this process has: it is a child. */
extern atomic_bool conn_unknown;

static inline void conn_used(void)
{
	if (atomic_load_explicit(&conn_unknown, memory_order_relaxed))
		conn_observer->process();
}

/* A connection in the phase CONN_EXPECT_TCP with one reference, or NULL; conn_place(): in the slot c of an
 * arena, which conn_new() takes. False: it could not be locked. */
struct conn *conn_new(void);
bool conn_place(struct conn *c, struct arena *arena);

/* Another program's process has had the connection, locked, or dies with it: the pointers in it are
 * made this process's; all that they lead to is wiped (boarding.c). */
extern const char conn_code[];
struct tcpcrypt_session *conn_session(struct conn *c);
void conn_rebind(struct conn *c);
void conn_abandon(struct conn *c);

/* 0, or -EDEADLK when this thread has the lock already: in a handler that nobody saw being set. What
 * is done with it is a section (section.h). */
int conn_lock(struct conn *c);

/* The same, but only to look, or to count references: who is killed meanwhile does no harm. */
int conn_lock_still(struct conn *c);

void conn_unlock(struct conn *c);

/* Tells the engine, by an enum shared_inproc_mark, whether what fd negotiates is encrypted here.
 * False: it has nothing to do with it, or the socket is connected. */
bool conn_mark(int fd, int how);

/* Is there no connection, nor one under way? */
bool conn_is_closed(int fd);
bool conn_is_established(int fd);

/* Unlocks, and frees the slot if nobody has it any more. */
void conn_unlock_release(struct conn *c);

/* A descriptor more or less: this process's, or the child's that it is about to fork. */
void conn_ref(struct conn *c, life whose);
void conn_unref(struct conn *c, life whose);

/* A descriptor of this process's goes to another program, which says that it has it. In between it is
 * nobody's who could be killed. */
void conn_hand_over(struct conn *c);
void conn_handed(struct conn *c);

/* Keeps the slot otherwise. */
void conn_hold(struct conn *c);
void conn_unhold(struct conn *c);

/* False: this process's helper looks after it already. Else it does from now on, and keeps the slot. */
bool conn_watch(struct conn *c);
void conn_unwatch(struct conn *c);

/* What killed processes have left is given back. Without any connection's lock. */
void conn_reap(void);

/* Asks the kernel what was negotiated on a socket that connects, or is told, and begins the key
 * exchange. The phase tells the outcome. */
void conn_negotiated(struct conn *c, int fd);
void conn_begin(struct conn *c, int fd, const struct shared_inproc *inproc);

/* There are keys; nobody will use them any more. */
void conn_opened(struct conn *c);
void conn_ended(struct conn *c);

/* Resets the connection: calls that follow fail with ECONNRESET. Returns -ECONNRESET. */
int conn_fail(struct conn *c, int fd);

/* The same, because the session says so. */
int conn_fail_for(struct conn *c, int fd, int cause);

/* The same, late, for who had the lock and was killed. */
void conn_reset_orphan(struct conn *c, int fd);

/* The kernel says that the connection is gone. Returns -error. */
int conn_broken(struct conn *c, int error);

/* The same, but it may have more that came before. */
int conn_tx_broken(struct conn *c, int error);

/* By either of the two. */
static inline bool conn_tx_is_over(const struct conn *c)
{
	return c->phase == CONN_FAILED || c->tx_broken;
}

/* As far as it goes without waiting: keys, then what waits to be sent. 0: nothing is left. */
int conn_progress(struct conn *c, int fd);

#endif
