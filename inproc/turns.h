/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which connection a descriptor is, for calls that wait. The kernel's own hold the file, whatever becomes
 * of its number meanwhile; ours come back to the number, which may be another connection's, or a
 * file's, by then: what was written to one must not go on in the other.
 */
#ifndef INPROC_TURNS_H
#define INPROC_TURNS_H

#include <stdbool.h>
#include <stdint.h>

/* Of a descriptor in the table: another number after each close(). */
uint32_t turns_now(int fd);

/* The connection that fd has been is closed; shut: after the program had shut down its reading. */
void turns_end(int fd, bool shut);

/* Was it so with the one that it was at this turn? */
bool turns_was_shut(int fd, uint32_t turn);

#endif
