/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The programs' places on the cgroup and the network namespace. A link holds each; it ends with
 * the last process that has it, and another daemon's program can be put into it at once. Functions
 * return 0 or a negative errno value.
 */
#ifndef ENGINE_HOOKS_H
#define ENGINE_HOOKS_H

#include <bpf/libbpf.h>

#include "engine/heritage.h"

#define HOOKS_N 12

struct hooks {
	int links[HOOKS_N]; /* -1: not attached */
};

void hooks_init(struct hooks *h);

/* Attaches the object's programs, to the calling thread's network namespace. */
int hooks_attach(struct hooks *h, const struct bpf_object *obj, int cgroup_fd);

/* Attaches the program that programs in in-process mode need, once. */
int hooks_attach_inproc(struct hooks *h, const struct bpf_object *obj, int cgroup_fd);

/* Takes another daemon's links over, whose programs go on until hooks_replace(). */
int hooks_inherit(struct hooks *h, struct heritage *from);
int hooks_bequeath(const struct hooks *h, struct heritage *to);

/* Puts the object's programs into the links. */
int hooks_replace(const struct hooks *h, const struct bpf_object *obj);

/* Gives the links up; who else has them keeps the programs attached. */
void hooks_close(struct hooks *h);

#endif
