/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs' maps, which a daemon leaves to the next. 0 or a negative errno value. */
#ifndef ENGINE_MAPS_H
#define ENGINE_MAPS_H

#include <bpf/libbpf.h>

#include "engine/heritage.h"

int maps_bequeath(const struct bpf_object *obj, struct heritage *to);

/* Before the object is loaded. -ESTALE: a map is missing, or not what the object's is. */
int maps_inherit(const struct bpf_object *obj, const struct heritage *from);

#endif
