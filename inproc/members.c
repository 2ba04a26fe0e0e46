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
	if (number < 0)
		return;
	members[number].share = (struct arena_share){};
	members[number].state = MEMBER_FREE;
}

bool member_dead(struct member *m, int number, int fd)
{
	struct flock one = lock_of(number);
	uint8_t state = MEMBER_LIVES;

	return m->state == MEMBER_LIVES && !next()->fcntl(fd, F_OFD_GETLK, &one) &&
	       one.l_type == F_UNLCK &&
	       atomic_compare_exchange_strong(&m->state, &state, MEMBER_REAPED);
}
