/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tcpcryptd --engine-only takes no connection of an ordinary program. There `verify` starts itself once
 * more, as `tcpcrypt run` would, and opens its connection in in-process mode.
 */
#ifndef CLI_VERIFY_INPROC_H
#define CLI_VERIFY_INPROC_H

#include "command.h"

#include <stdbool.h>
#include <stdint.h>

/* Does this process encrypt its connections itself? */
bool verify_is_inproc(void);

/* Should it, and can it? Asks the daemon. */
bool verify_wants_inproc(const struct command_options *options, int64_t deadline);

/* Returns only when it cannot be done, with the exit status. */
int verify_again_inproc(const struct command_options *options, char **arguments, int64_t deadline);

#endif
