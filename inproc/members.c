// SPDX-License-Identifier: BSD-2-Clause
#include "inproc/members.h"

#include <fcntl.h>
#include <unistd.h>

#include "inproc/next.h"

static struct flock lock_of(int number)
{
	return (struct flock){
		.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = number, .l_len = 1
	};
}

int member_begin(struct member members[static MEMBERS_MAX], int fd)
{
	for (int i = 0; i < MEMBERS_MAX; i++) {
		struct flock one = lock_of(i);
		uint8_t state = MEMBER_FREE;

		if (!atomic_compare_exchange_strong(&members[i].state, &state, MEMBER_TAKEN))
			continue;
		if (!next()->fcntl(fd, F_OFD_SETLK, &one)) {
			members[i].state = MEMBER_LIVES;
			return i;
		}
		members[i].state = MEMBER_FREE;
	}
	return -1;
}

void member_end(struct member members[static MEMBERS_MAX], int number)
{
	uint8_t state = MEMBER_LIVES;

	if (number < 0)
		return;
	members[number].share = (struct arena_share){};
	/* Or somebody has it who looks at the lock: it is his to set free, or the next one's. */
	atomic_compare_exchange_strong(&members[number].state, &state, MEMBER_FREE);
}

static bool is_locked(int number, int fd)
{
	struct flock one = lock_of(number);

	return next()->fcntl(fd, F_OFD_GETLK, &one) || one.l_type != F_UNLCK;
}

bool member_dead(struct member *m, int number, int fd)
{
	uint8_t state = MEMBER_LIVES;

	if (m->state != MEMBER_LIVES || is_locked(number, fd) ||
	    !atomic_compare_exchange_strong(&m->state, &state, MEMBER_REAPED))
		return false;
	/* The one that had no lock may have ended in order, and the number be another one's since, which
	 * cannot end any more without our seeing it. */
	if (!is_locked(number, fd))
		return true;
	m->state = MEMBER_LIVES;
	return false;
}
