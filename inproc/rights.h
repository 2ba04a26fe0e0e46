/* SPDX-License-Identifier: BSD-2-Clause */
/* Descriptors that messages carry between processes (SCM_RIGHTS). */
#ifndef INPROC_RIGHTS_H
#define INPROC_RIGHTS_H

#include <stdbool.h>
#include <sys/socket.h>

#define RIGHTS_MAX 253 /* in a message: SCM_MAX_FD */

/* A message that carries connections, with what stands for them (handover.h). */
struct rights {
	struct msghdr message;
	size_t n;
	struct {
		struct conn *c;
		int pack;
	} passed[RIGHTS_MAX];
	/* The control messages, with what stands for the descriptors. */
	_Alignas(struct cmsghdr) unsigned char control[4096];
};

/* Does it carry any of our connections? Of the others note is taken that they are shared. */
bool rights_passes(const struct msghdr *message);

/*
 * Makes rights->message of a message that does. 0, or a negative errno value: EOPNOTSUPP, a connection
 * that cannot be passed. rights_end() in any case; sent: it was.
 */
int rights_begin(struct rights *rights, const struct msghdr *message);
void rights_end(struct rights *rights, bool sent);

/* A message has come, with flags of recvmsg(): its descriptors become connections again. */
void rights_received(struct msghdr *message, int flags);

#endif
